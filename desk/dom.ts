/**
 * A page is built anew from the data each time and then laid over what stands there, so that focus, selection, scroll position and
 * what somebody has typed survive. Data gets in as text and attributes only.
 */

type Child = Node | string | undefined | false;
type Attributes = Record<string, string | number | boolean | undefined>;

/** An element. `true` sets an attribute without a value, `false` and `undefined` leave it out; `data-key` names it among its siblings. */
export function h(tag: string, attributes: Attributes = {}, ...children: Child[]): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

/** Makes the content of `target` like `children`, and changes no more than differs. */
export function show(target: Element, ...children: Child[]): void {
  const focused = document.activeElement;
  const wanted = document.createElement(target.tagName);
  wanted.append(...children.filter((child) => child !== undefined && child !== false));
  alignChildren(target, wanted);
  // A row that changed its place was taken out for a moment, and lost the focus.
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected)
    focused.focus({ preventScroll: true });
}

function alignChildren(target: Element, wanted: Element): void {
  const next = [...wanted.childNodes];
  const keys = new Set(next.map(keyOf).filter((key) => key !== undefined));
  let cursor = target.firstChild;
  for (const node of next) {
    while (cursor && isGone(cursor, keys)) cursor = removed(cursor);
    const found = keyed(target, node) ?? (cursor && isAlike(cursor, node) ? cursor : undefined);
    if (!found) {
      target.insertBefore(node, cursor);
    } else {
      if (found === cursor) cursor = cursor.nextSibling;
      else target.insertBefore(found, cursor);
      align(found, node);
    }
  }
  while (cursor) cursor = removed(cursor);
}

function align(target: Node, wanted: Node): void {
  if (!(target instanceof Element) || !(wanted instanceof Element)) {
    if (target.nodeValue !== wanted.nodeValue) target.nodeValue = wanted.nodeValue;
    return;
  }
  for (const name of target.getAttributeNames()) if (!wanted.hasAttribute(name)) target.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  }
  alignChildren(target, wanted);
}

function keyed(target: Element, node: Node): Node | undefined {
  const key = keyOf(node);
  return key === undefined ? undefined : [...target.childNodes].find((child) => keyOf(child) === key);
}

function keyOf(node: Node): string | undefined {
  return node instanceof HTMLElement ? node.dataset['key'] : undefined;
}

function isGone(node: Node, keys: Set<string>): boolean {
  const key = keyOf(node);
  return key !== undefined && !keys.has(key);
}

function isAlike(a: Node, b: Node): boolean {
  return a.nodeName === b.nodeName && keyOf(a) === undefined && keyOf(b) === undefined;
}

function removed(node: ChildNode): ChildNode | null {
  const next = node.nextSibling;
  node.remove();
  return next;
}
