/** Where Node-RED serves the editor code that all nodes share; relative, because the editor may stand under any root. */
export const SHARED_SCRIPT = 'resources/@dropline/node-red-dropship/dropship-editor.js';

/**
 * The `.html` that Node-RED loads for one node: the shared editor code, the node's editor and its edit template.
 *
 * Every node asks for the shared code, because any of them may be loaded first or alone (Palette Manager, disabled sets);
 * the browser has it after the first time. Node-RED runs a node's own script only when the shared one has arrived.
 * @throws Error when the script cannot run inline
 */
export function editorHtml(type: string, script: string, template: string): string {
  assertPlainScript(type, script);
  return `<script src="${SHARED_SCRIPT}"></script>
<script type="text/javascript">
${script.trim()}
</script>

${template.trim()}
`;
}

/**
 * A template with what several nodes share put in: `<!-- include partner-name -->` stands for `nodes/partials/partner-name.html`.
 * @param partial answers the text of a partial by its name
 */
export function withPartials(template: string, partial: (name: string) => string): string {
  return template.replace(/^( *)<!-- include ([a-z-]+) -->$/gm, (_line, indent: string, name: string) =>
    partial(name)
      .trimEnd()
      .replace(/^(?=.)/gm, indent),
  );
}

/** @throws Error that names the first line that only a module, or nothing inside an HTML page, may hold */
export function assertPlainScript(name: string, script: string): void {
  const offending = script
    .split('\n')
    .find((line) => /^\s*(import|export)\b/.test(line) || /\bimport\s*\(/.test(line) || /<\/script/i.test(line));
  if (offending !== undefined) {
    throw new Error(
      `The editor of ${name} must be a plain script, without import, export or a closing tag: ${offending.trim()}`,
    );
  }
}

/** The file names of the package's own icons that an editor script names. */
export function iconsOf(script: string): string[] {
  return [...new Set(script.match(/\bdropship-[a-z-]+\.svg\b/g) ?? [])];
}

/** Texts by key, in groups. */
export type Catalogue = { [key: string]: string | Catalogue };

/** A node's own texts and the ones that all nodes share. Node-RED keeps one catalogue per node and knows no shared one. */
export function mergeCatalogues(shared: Catalogue, own: Catalogue): Catalogue {
  const merged: Catalogue = { ...shared };
  for (const [key, value] of Object.entries(own)) {
    const present = merged[key];
    merged[key] = typeof present === 'object' && typeof value === 'object' ? mergeCatalogues(present, value) : value;
  }
  return merged;
}

/** The marks of the complete examples in `docs/generic-rest.md`, and the config nodes whose options they are. */
const OPTION_EXAMPLES = { shop: 'ecommerce-platform', erp: 'erp-system', supplier: 'supplier' };

/** @throws Error when the documentation lacks an example */
export function optionExamples(documentation: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(OPTION_EXAMPLES).map(([mark, type]) => {
      const text = documentation.split(`\`\`\`json ${mark}\n`)[1]?.split('```')[0];
      if (!text) throw new Error(`docs/generic-rest.md has no example marked "json ${mark}".`);
      return [type, text];
    }),
  );
}
