import type { Node, NodeAPI } from 'node-red';

/** What stands under a node. A text that has to be made is made only when it is shown: most are replaced before. */
export interface Status {
  fill?: 'red' | 'green' | 'yellow' | 'blue' | 'grey';
  shape?: 'ring' | 'dot';
  text?: string | (() => string);
}

/** Milliseconds between two texts under one node: each goes to every open editor, and nobody reads faster. */
const EVERY = 250;

interface Line {
  /** What stands there, as JSON. */
  shown: string;
  shownAt: number;
  latest: Status;
  timer: NodeJS.Timeout | undefined;
}

const lines = new WeakMap<Node, Line>();

/**
 * Shows a status under a node: at once when it has been quiet, otherwise the newest of several after a moment, so that the last one always
 * stands there in the end.
 * @param passing it is likely to be replaced at once ("working"), and shows only when it stays
 */
export function showStatus(node: Node, status: Status, passing = false): void {
  let line = lines.get(node);
  if (!line) lines.set(node, (line = { shown: '', shownAt: 0, latest: {}, timer: undefined }));
  line.latest = status;
  if (passing && line.timer) return;
  const wait = line.shownAt + EVERY - Date.now();
  if (wait <= 0 && !passing) return publish(node, line);
  line.timer ??= setTimeout(publish, Math.max(wait, passing ? EVERY : 0), node, line).unref();
}

function publish(node: Node, line: Line): void {
  clearTimeout(line.timer);
  line.timer = undefined;
  const { text: made, ...look } = line.latest;
  const status: Parameters<Node['status']>[0] = { ...look, text: typeof made === 'function' ? made() : (made ?? '') };
  const shown = JSON.stringify(status);
  if (shown === line.shown) return;
  line.shown = shown;
  line.shownAt = Date.now();
  node.status(status);
}

/** Nothing stands there any more, and nothing comes late. */
export function clearStatus(node: Node): void {
  clearTimeout(lines.get(node)?.timer);
  lines.delete(node);
  node.status({});
}

/** "done 14:05": the editor cannot fill in texts, so these are made here, in the language of the server. */
export function timed(RED: NodeAPI, key: string, at: number = Date.now()): () => string {
  return () => translated(RED, key, { time: new Date(at).toTimeString().slice(0, 5) });
}

/** Texts that were made before: under load the same ones come again and again, and to look one up takes as long as a step. */
const translations = new WeakMap<NodeAPI, Map<string, string>>();

/** Most texts that are kept; a time of day or a number is in most of them, so the old ones are soon of no use. */
const MOST_TEXTS = 200;

/** A text of the node's own catalogue, in the language of the server. */
export function translated(RED: NodeAPI, key: string, values: Record<string, string | number>): string {
  const texts = translations.get(RED) ?? new Map<string, string>();
  translations.set(RED, texts);
  const which = [key, ...Object.values(values)].join(' ');
  const known = texts.get(which);
  if (known !== undefined) return known;
  const text = RED._(key, values);
  if (texts.size >= MOST_TEXTS) texts.clear();
  // A catalogue that is not loaded yet answers with the key.
  if (text !== key) texts.set(which, text);
  return text;
}
