/** A node as it stands in a flow file. */
export interface FlowNode {
  id: string;
  type: string;
  [property: string]: unknown;
}

/**
 * What Node-RED's Import menu offers for one flow: its own nodes and, of `partners`, the config nodes that they name,
 * directly or through each other (a shop names its ledger). Like Node-RED, any property that equals a node's id names it.
 */
export function exampleOf(flow: FlowNode[], partners: FlowNode[]): FlowNode[] {
  const own = new Set(flow.map((node) => node.id));
  const byId = new Map(partners.filter((node) => !own.has(node.id)).map((node) => [node.id, node]));
  const needed = new Set<FlowNode>();
  const queue = [...flow];
  for (let node = queue.pop(); node; node = queue.pop()) {
    for (const value of Object.values(node)) {
      const config = typeof value === 'string' ? byId.get(value) : undefined;
      if (config && !needed.has(config)) {
        needed.add(config);
        queue.push(config);
      }
    }
  }
  return [...flow, ...partners.filter((node) => needed.has(node))];
}

/** The text of an example file. */
export function printExample(nodes: FlowNode[]): string {
  return `${JSON.stringify(nodes, null, 2)}\n`;
}
