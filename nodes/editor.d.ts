/**
 * What the editor scripts find in the browser: the parts of Node-RED's editor API that Dropline uses, and the code that
 * its own nodes share (`nodes/dropship.editor.ts`). `@types/node-red` lacks validators that give a reason.
 */

declare const RED: {
  /** Translates; keys of a node's own catalogue go through `node._`. */
  _(key: string, values?: Record<string, unknown>): string;
  nodes: {
    registerType<Properties extends object, Credentials extends string = never>(
      type: string,
      definition: EditorDefinition<Properties, Credentials> & ThisType<Properties & EditorNode>,
    ): void;
    node(id: string | undefined): (EditorNode & Record<string, unknown>) | null;
    eachConfig(visit: (node: EditorNode & Record<string, unknown>) => void): void;
  };
  editor: {
    createEditor(options: { id: string; mode: string; value: string }): CodeEditor;
  };
  clipboard: { copyText(value: string, element?: JQuery, message?: string): void };
  /** Both end with a slash. `httpNodeRoot` is false where HTTP nodes are switched off. */
  settings: { apiRootUrl: string; httpNodeRoot: string | false };
};

interface EditorNode {
  id: string;
  type: string;
  /** Not yet deployed as it is. */
  changed?: boolean;
  _(key: string, values?: Record<string, unknown>): string;
}

interface EditorDefinition<Properties, Credentials extends string> {
  category: 'drop shipping' | 'config';
  defaults: {
    [Name in keyof Properties]-?: {
      value: Properties[Name];
      required?: boolean;
      /** The type of a config node that this property names. */
      type?: string;
      validate?: Validator;
    };
  };
  credentials?: { [Name in Credentials]: { type: 'text' | 'password' } };
  color?: string;
  icon?: string;
  align?: 'left' | 'right';
  inputs?: 0 | 1;
  outputs?: number;
  paletteLabel?(): string;
  label(): string;
  labelStyle?(): string;
  inputLabels?(): string;
  outputLabels?(index: number): string | undefined;
  oneditprepare?(): void;
  oneditsave?(): void;
  oneditcancel?(): void;
  oneditdelete?(): void;
  oneditresize?(size: { width: number; height: number }): void;
}

/**
 * True, or the reason in words. Node-RED shows a reason only of validators with exactly two parameters
 * (editor-client, `validateNodeProperty`). It accepts `${NAME}` without asking.
 */
type Validator = (this: EditorNode, value: unknown, options: unknown) => true | string;

interface CodeEditor {
  getValue(): string;
  setValue(text: string): void;
  destroy(): void;
  focus(): void;
}

interface JQuery {
  editableList(options: {
    header?: JQuery;
    addItem(row: JQuery, index: number, data: Record<string, string>): void;
    addButton?: string;
    removable?: boolean;
    sortable?: boolean;
    height?: number | 'auto';
  }): JQuery;
  editableList(action: 'items'): { each(visit: (this: HTMLElement) => void): void };
  editableList(action: 'addItem', data: Record<string, string>): void;
  editableList(action: 'addItems', data: Record<string, string>[]): void;
  i18n(): JQuery;
}

declare const dropship: DropshipEditor;

interface DropshipEditor {
  /** Validators, made like `RED.validators.number()`. */
  valid: {
    reference(): Validator;
    url(): Validator;
    folderOrUrl(): Validator;
    /** A full path, a variable of the environment, or nothing. */
    folder(): Validator;
    /** `optional`: may be empty. */
    number(range: { min: number; max: number; integer?: boolean; optional?: boolean }): Validator;
    decimal(rule?: { optional?: boolean }): Validator;
    time(): Validator;
    countries(): Validator;
    currency(): Validator;
    /** The options of a partner, by its product. */
    options(rules?: { iban?: boolean }): Validator;
    rows(rules: { required: string[]; decimals?: string[] }): Validator;
  };
  /** `title.with` and the partner's reference, or `title.without` when none is chosen. */
  title(node: EditorNode, partnerId: string | undefined): string;
  /** A partner's config node: name and reference. */
  partnerLabel(node: EditorNode & { name: string; reference: string }): string;
  partner: {
    /** Fills the edit dialog of a partner's config node. */
    open(node: PartnerNode): void;
    save(node: PartnerNode): void;
    close(): void;
  };
  /** Shows the address that the partner chosen in `#node-input-<property>` calls. */
  showAddress(node: EditorNode, kind: CallbackKind, property: string): void;
  /** References of all config nodes of a type, in order. */
  referencesOf(type: string): string[];
}

type CallbackKind = 'orders' | 'suppliers' | 'bank';

interface PartnerNode extends EditorNode {
  reference: string;
  ledger: string;
  product: string;
  baseUrl: string;
  movedTo: string;
  /** The text itself while it is no valid JSON, so that nothing typed is lost; the node is invalid then. */
  options: Record<string, unknown> | string;
}
