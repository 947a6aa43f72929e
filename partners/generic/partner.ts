import type { AdapterSettings, AdapterTools, ConnectionTest } from '../adapter.ts';
import { settleTime } from '../settings.ts';
import type { Json, Writer } from '../write.ts';
import { compileTest, createConnection, type Connection, type Input } from './call.ts';
import { compileOperation, operationMissing, runOperation, type CompiledOperation, type Shape } from './operation.ts';
import type { GenericOptions } from './options.ts';
import { checkOptions, type PartnerKind } from './schema.ts';

/** What the three generic adapters have in common: checked options and operations that are ready to run. */
export interface GenericPartner {
  options: GenericOptions;
  connection: Connection;
  settleTime: number;
  testConnection(): Promise<ConnectionTest>;
  /** True when the options have this operation. */
  can(operation: string): boolean;
  /** @throws ConfigurationMistake `OPERATION_MISSING` */
  run<Result extends Json>(
    operation: string,
    documents: Input,
    shape: Shape<Result>,
    write: Writer,
    summary: Record<string, Json>,
    look?: 'always',
  ): Promise<Result>;
}

/**
 * Checks the options and compiles every expression in them.
 * @param required operations that have no harmless default, for "Test connection"
 * @throws ConfigurationMistake `OPTIONS_INVALID`, `MAPPING_ENGINE_MISSING`
 */
export function createPartner(
  kind: PartnerKind,
  required: readonly string[],
  settings: AdapterSettings,
  tools: AdapterTools,
): GenericPartner {
  const options = checkOptions(kind, settings.options, settings.reference);
  const connection = createConnection(settings, tools, options);
  const operations = new Map<string, CompiledOperation>();
  for (const [name, operation] of Object.entries(options.operations ?? {})) {
    if (!kind.lists?.includes(name))
      operations.set(name, compileOperation(connection, operation, `operations.${name}`));
  }
  return {
    options,
    connection,
    settleTime: settleTime(settings),
    testConnection: compileTest(connection, options, required),
    can: (name) => operations.has(name),
    async run(name, documents, shape, write, summary, look) {
      const operation = operations.get(name);
      if (!operation) throw operationMissing(settings.reference, name);
      const step = kind.operations[name] ?? name;
      return runOperation(connection, operation, { documents, step, shape, write, summary, ...(look ? { look } : {}) });
    },
  };
}

/** The result of an operation that may be left out. */
export function skipped(operation: string): Record<string, Json> {
  return { skipped: `operations.${operation} is not configured` };
}
