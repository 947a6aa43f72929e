import { Ajv, type ValidateFunction } from 'ajv';
import { schemas, type DocumentType } from '../orders/schemas.ts';

const ajv = new Ajv({ strict: true, allErrors: false });
const validators = new Map<DocumentType, ValidateFunction>();

/** Why a document is not of its type, as a sentence that names the field; `undefined` when it is. */
export function faultOf(document: { type: string }): string | undefined {
  const { type } = document;
  if (!isDocumentType(type)) return undefined;
  const validate = validators.get(type) ?? ajv.compile(schemas[type]);
  validators.set(type, validate);
  if (validate(document)) return undefined;
  const [error] = validate.errors ?? [];
  const field = error?.instancePath.slice(1).replaceAll('/', '.') || type;
  return `${field} ${error?.message ?? 'is not as it should be'}.`;
}

function isDocumentType(type: string): type is DocumentType {
  return Object.hasOwn(schemas, type);
}
