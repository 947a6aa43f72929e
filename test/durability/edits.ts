import type { FlowNode } from '../../scripts/examples.ts';

/** A change that somebody makes to the flows while orders are under way. */
export interface Edit {
  name: string;
  apply(flows: FlowNode[]): FlowNode[];
  /** What an order that does not complete must say: exceptions, waiting events, unsettled effects, missing steps. Absent: it completes. */
  names?: RegExp;
  /** Facts from outside may find nobody: they stay where they are. */
  closesIntake?: boolean;
  /** Node-RED's log must say so. */
  logs?: RegExp;
  /** References that it gives to partners which have another one already. */
  sameAs?: Record<string, string>;
}

/** What is missing when a message does not reach a node of this type, or what it does is not done. */
const MISSING: Record<string, RegExp> = {
  'erp-create-order': /so-create\/|has not been routed|has not been sent/,
  'supplier-route': /has not been routed|has not been sent/,
  'erp-create-po': /po-create\/|has not been entered|has not been sent/,
  'supplier-send': /po-send\/|has not been sent/,
  'erp-complete': /shipment-receive\/|so-complete\/|has not been received|has not been told|has not been completed/,
  'ecommerce-complete': /shipment-tell\/|order-complete\/|has not been told|has not been completed/,
  'erp-bill': /bill-enter\/|has not been matched/,
  'erp-payables': /is not paid|not paid yet|payables-asked .*no receiver/,
  'bank-pay':
    /no payment run was made|has not been approved and sent|pay-send\/|run-decision .*no receiver|is not paid|not paid yet/,
  'ecommerce-receive': /order .*(no receiver|no config node)/,
  'supplier-receive':
    /has not acknowledged|has not shipped|has not billed|(acknowledgement|shipment|bill) .*(no receiver|no config node)/,
  'bank-receive': /has not reported|payment-status .*(no receiver|no config node)|pay-register\//,
};

/** Where facts from outside come in. */
const INTAKES = new Set(['ecommerce-receive', 'supplier-receive', 'bank-receive']);

/** They serve people, or orders with trouble: an ordinary order needs none of them. */
const NOT_NEEDED = new Set([
  'debug',
  'comment',
  'catch',
  'link in',
  'link out',
  'order-when',
  'supplier-cancel',
  'erp-change-po',
  'ecommerce-cancel',
]);

/** They have no part in the order. */
const OTHER_SUPPLIERS = new Set(['dl-parcels', 'dl-moody']);

/** What can be done to these flows, each change for itself. */
export function editsOf(flows: FlowNode[]): Edit[] {
  const inFlow = flows.filter((node) => node['z'] !== undefined);
  const needed = inFlow.filter((node) => !NOT_NEEDED.has(node.type));
  const unknown = needed.find((node) => node.type !== 'inject' && !MISSING[node.type]);
  if (unknown) throw new Error(`Say what is missing without a "${unknown.type}", or that an order does not need it.`);
  const config = flows.filter((node) => node['z'] === undefined && node.type !== 'tab');
  const wires = inFlow.flatMap((from) =>
    wiresOf(from).flatMap((targets, port) => targets.map((to) => ({ from: from.id, port, to }))),
  );
  const typeOf = (id: string) => flows.find((node) => node.id === id)?.type ?? '';
  // The wires that an order takes which is neither changed nor given back.
  const taken = wires.filter(
    ({ from, port, to }) =>
      needed.some((node) => node.id === to) &&
      typeOf(from) !== 'link in' &&
      !(typeOf(from) === 'ecommerce-receive' && port > 0),
  );
  return [
    ...needed.map(({ id, type }): Edit => ({
      name: `without ${id}`,
      apply: (all) => without(all, [id]),
      names: type === 'inject' ? MISSING['erp-payables']! : MISSING[type]!,
      closesIntake: INTAKES.has(type),
    })),
    {
      name: 'without what is not needed',
      apply: (all) =>
        without(
          all,
          inFlow.filter((node) => NOT_NEEDED.has(node.type)).map((node) => node.id),
        ),
    },
    ...config.map(({ id }): Edit => ({
      name: `without ${id}`,
      apply: (all) => without(all, [id]),
      ...(OTHER_SUPPLIERS.has(id)
        ? {}
        : {
            names: anyOf([...Object.values(MISSING), /PARTNER_NOT_CONFIGURED/, /no config node/]),
            closesIntake: true,
          }),
    })),
    ...needed
      .filter((node) => wires.some(({ to }) => to === node.id) && wiresOf(node).flat().length > 0)
      .map(({ id, type }): Edit => ({
        name: `past ${id}`,
        apply: (all) => past(all, id),
        names: anyOf([MISSING[type]!, /ORDER_NOT_IN_ERP/, /WRONG_DOCUMENT/]),
      })),
    ...taken.flatMap(({ from, port, to }): Edit[] => {
      const at = `before ${to}`;
      const names = MISSING[typeOf(to)]!;
      const put = (node: Record<string, unknown>) => (all: FlowNode[]) => into(all, from, port, to, node);
      return [
        { name: `Switch without a match ${at}`, apply: put(SWITCH), names },
        { name: `Function with a new object ${at}`, apply: put(NEW_OBJECT), names: anyOf([names, /EVENT_LOST/]) },
        { name: `Delay of 90 s ${at}`, apply: put(delayOf(90)), names },
        { name: `Delay of 2 s ${at}`, apply: put(delayOf(2)) },
      ];
    }),
    {
      name: 'renamed nodes',
      apply: (all) => all.map((node) => (node['z'] ? { ...node, name: `my ${node.id}` } : node)),
    },
    { name: 'replaced nodes', apply: (all) => replaced(all, (node) => node['z'] !== undefined) },
    {
      name: 'replaced config nodes',
      apply: (all) => replaced(all, (node) => node['z'] === undefined && node.type !== 'tab'),
    },
    { name: 'every node twice', apply: twice },
    {
      name: 'every config node twice',
      apply: (all) => [
        ...all,
        ...config.map((node) => ({ ...all.find(({ id }) => id === node.id)!, id: `${node.id}-2`, name: 'copy' })),
      ],
      logs: /Two config nodes have the reference "erp"/,
    },
    {
      name: 'a second ERP',
      apply: (all) => [
        ...all.map((node) => (node['erp'] === 'dl-erp' ? { ...node, erp: 'dl-erp-2' } : node)),
        { ...all.find(({ id }) => id === 'dl-erp')!, id: 'dl-erp-2', reference: 'erp-2' },
      ],
      sameAs: { 'erp-2': 'erp' },
      names: /OTHER_ERP|payables-asked .*no receiver|is not paid|not paid yet/,
    },
    {
      name: 'a supplier with another reference',
      apply: (all) => all.map((node) => (node.id === 'dl-prompt' ? { ...node, reference: 'prompt-2' } : node)),
      names: anyOf([
        MISSING['supplier-receive']!,
        MISSING['supplier-send']!,
        /PARTNER_NOT_CONFIGURED/,
        /NOBODY_DELIVERS/,
      ]),
      closesIntake: true,
    },
    ...flows
      .filter((node) => node.type === 'tab')
      .map(({ id }): Edit => ({
        name: `${id} switched off`,
        apply: (all) => all.map((node) => (node.id === id ? { ...node, disabled: true } : node)),
        names: anyOf(flows.filter((node) => node['z'] === id && MISSING[node.type]).map((node) => MISSING[node.type]!)),
        closesIntake: true,
      })),
  ];
}

const SWITCH = {
  type: 'switch',
  property: 'topic',
  propertyType: 'msg',
  rules: [{ t: 'eq', v: 'nothing has this topic', vt: 'str' }],
  checkall: 'true',
  repair: false,
  outputs: 1,
};

const NEW_OBJECT = {
  type: 'function',
  func: 'return { payload: msg.payload };',
  outputs: 1,
  timeout: 0,
  noerr: 0,
  initialize: '',
  finalize: '',
  libs: [],
};

function delayOf(seconds: number): Record<string, unknown> {
  return { type: 'delay', pauseType: 'delay', timeout: String(seconds), timeoutUnits: 'seconds', outputs: 1 };
}

function anyOf(expressions: RegExp[]): RegExp {
  return new RegExp(expressions.map(({ source }) => source).join('|'));
}

function wiresOf(node: FlowNode): string[][] {
  return (node['wires'] as string[][] | undefined) ?? [];
}

/** As the editor deletes nodes: their wires go with them. */
function without(flows: FlowNode[], ids: string[]): FlowNode[] {
  return flows
    .filter((node) => !ids.includes(node.id))
    .map((node) => rewired(node, (to) => (ids.includes(to) ? [] : [to])));
}

/** As the editor's "delete and reconnect": what led to the node leads to what was after its first output. */
function past(flows: FlowNode[], id: string): FlowNode[] {
  const after = wiresOf(flows.find((node) => node.id === id)!)[0] ?? [];
  return flows.filter((node) => node.id !== id).map((node) => rewired(node, (to) => (to === id ? after : [to])));
}

/** Puts a node into one wire. */
function into(flows: FlowNode[], from: string, port: number, to: string, node: Record<string, unknown>): FlowNode[] {
  const z = flows.find(({ id }) => id === from)!['z'];
  const added = { ...node, id: 'dl-put-in', z, name: '', x: 0, y: 0, wires: [[to]] } as unknown as FlowNode;
  return [
    ...flows.map((each) =>
      each.id === from ? rewired(each, (target, at) => [target === to && at === port ? added.id : target]) : each,
    ),
    added,
  ];
}

function rewired(node: FlowNode, change: (to: string, port: number) => string[]): FlowNode {
  if (node['wires'] === undefined) return node;
  return { ...node, wires: wiresOf(node).map((targets, port) => targets.flatMap((to) => change(to, port))) };
}

/** The same nodes under other ids, as when they are deleted and drawn anew. The button that the tests press stays. */
function replaced(flows: FlowNode[], which: (node: FlowNode) => boolean): FlowNode[] {
  let text = JSON.stringify(flows);
  for (const node of flows.filter((each) => which(each) && each.type !== 'inject'))
    text = text.replaceAll(`"${node.id}"`, `"new-${node.id}"`);
  return JSON.parse(text) as FlowNode[];
}

/** Every node of the flows a second time, at the same wires. */
function twice(flows: FlowNode[]): FlowNode[] {
  const copied = new Set(
    flows.filter((node) => node['z'] !== undefined && node.type !== 'inject').map((node) => node.id),
  );
  const both = flows.map((node) => rewired(node, (to) => (copied.has(to) ? [to, `${to}-2`] : [to])));
  return [...both, ...both.filter((node) => copied.has(node.id)).map((node) => ({ ...node, id: `${node.id}-2` }))];
}
