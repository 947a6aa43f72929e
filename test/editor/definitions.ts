import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import vm from 'node:vm';
import { mergeCatalogues, withPartials, type Catalogue } from '../../scripts/editor-html.ts';

export const ROOT = join(import.meta.dirname, '..', '..');

export const FLOW_NODES = [
  'ecommerce-receive',
  'erp-create-order',
  'supplier-route',
  'erp-create-po',
  'erp-change-po',
  'supplier-send',
  'supplier-cancel',
  'supplier-receive',
  'erp-complete',
  'ecommerce-complete',
  'ecommerce-cancel',
  'erp-bill',
  'erp-payables',
  'bank-pay',
  'bank-receive',
  'order-when',
];
export const CONFIG_NODES = ['dropship-ledger', 'ecommerce-platform', 'erp-system', 'supplier', 'bank-account'];
export const ALL_NODES = [...FLOW_NODES, ...CONFIG_NODES];

/** What an editor script hands to `RED.nodes.registerType`. */
export interface Definition {
  category: string;
  color?: string;
  icon?: string;
  inputs?: number;
  outputs?: number;
  defaults: Record<string, { value: unknown; required?: boolean; type?: string; validate?: Validate }>;
  credentials?: Record<string, { type: string }>;
  label(this: EditedNode): string;
  paletteLabel?(this: EditedNode): string;
  inputLabels?(this: EditedNode): string;
  outputLabels?(this: EditedNode, index: number): string | undefined;
}

type Validate = (this: EditedNode, value: unknown, options: object) => true | string;

export interface EditedNode {
  id: string;
  type: string;
  _(key: string, values?: Record<string, unknown>): string;
  [property: string]: unknown;
}

export function read(...parts: string[]): string {
  return readFileSync(join(ROOT, ...parts), 'utf8');
}

export function isThere(...parts: string[]): boolean {
  return existsSync(join(ROOT, ...parts));
}

/** A node's editor script as the browser gets it. */
export function scriptOf(type: string): string {
  return stripTypeScriptTypes(read('nodes', type, `${type}.editor.ts`));
}

export function templateOf(type: string): string {
  return withPartials(read('nodes', type, `${type}.html`), (name) => read('nodes', 'partials', `${name}.html`));
}

export function helpOf(type: string): string {
  return read('nodes', type, 'locales', 'en-US', `${type}.html`);
}

/** The texts that Node-RED has for a node: its own and the shared ones. */
export function catalogueOf(type: string): Catalogue {
  const shared = JSON.parse(read('nodes', 'locales', 'en-US', 'shared.json')) as Catalogue;
  return mergeCatalogues(shared, JSON.parse(read('nodes', type, 'locales', 'en-US', `${type}.json`)) as Catalogue);
}

export function textAt(catalogue: Catalogue, key: string): string | undefined {
  let level: string | Catalogue | undefined = catalogue;
  for (const part of key.split('.')) level = typeof level === 'object' ? level[part] : undefined;
  return typeof level === 'string' ? level : undefined;
}

/** A node in the editor. A text that its catalogue lacks is an error, as a person would see the bare key. */
export function editedNode(type: string, properties: Record<string, unknown> = {}): EditedNode {
  const catalogue = catalogueOf(type);
  return {
    id: 'node-in-question',
    type,
    ...properties,
    _(key, values = {}) {
      const text = textAt(catalogue, key);
      if (text === undefined) throw new Error(`The catalogue of ${type} has no text "${key}".`);
      return text.replace(/__(\w+)__/g, (_all, name: string) => String(values[name]));
    },
  };
}

/** Runs the shared editor code and the node's script as the browser does, beside the config nodes given. */
export function definitionOf(type: string, configNodes: Record<string, unknown>[] = []): Definition {
  const registered = new Map<string, Definition>();
  const page: Record<string, unknown> = {
    URL,
    $: () => silent,
    RED: {
      settings: { apiRootUrl: '/', httpNodeRoot: '/' },
      nodes: {
        registerType: (name: string, definition: Definition) => registered.set(name, definition),
        node: (id: string) => configNodes.find((node) => node['id'] === id) ?? null,
        eachConfig: (visit: (node: object) => void) => configNodes.forEach(visit),
      },
    },
  };
  page['window'] = page;
  vm.createContext(page);
  vm.runInContext(stripTypeScriptTypes(read('nodes', 'dropship.editor.ts')), page);
  vm.runInContext(scriptOf(type), page);
  const definition = registered.get(type);
  if (!definition || registered.size !== 1) {
    throw new Error(`The editor of ${type} registers ${[...registered.keys()].join(', ') || 'nothing'}.`);
  }
  return definition;
}

/** A jQuery with no page: no dialog is open. */
const silent = { text: () => silent, appendTo: () => silent, data: () => undefined, val: () => undefined };
