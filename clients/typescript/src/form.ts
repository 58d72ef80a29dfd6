// The forms of elicitations: what a JSON Schema asks for, as the fields that a user interface shows.

import type { ElicitationRequest } from './protocol.js';

/** What may be filled in, in MCP's words. */
export type FormValue = string | number | boolean | string[];

/** One property of a form. */
export interface FormField {
  readonly name: string;
  /** `choice`: one of `options`; `choices`: several of them; `text`: anything else that is written as a string. */
  readonly kind: 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'choices';
  readonly title: string;
  readonly description: string | undefined;
  readonly required: boolean;
  readonly default: FormValue | undefined;
  /** Of a text: `email`, `uri`, `date`, `date-time` … */
  readonly format: string | undefined;
  /** Of a number: its bounds; of a text: its length; of choices: how many. */
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  readonly options: readonly { readonly value: string; readonly label: string }[];
}

/** The fields of a form, in the schema's order; none for a page to visit. */
export function formOf(request: ElicitationRequest): FormField[] {
  const schema = objectOf(request.schema);
  const required = arrayOf(schema['required']);
  return Object.entries(objectOf(schema['properties'])).map(([name, property]) => fieldOf(name, objectOf(property), required.includes(name)));
}

function fieldOf(name: string, property: Record<string, unknown>, required: boolean): FormField {
  const { type, title, description, format } = property;
  const isList = type === 'array';
  const options = optionsOf(isList ? objectOf(property['items']) : property);
  const kind = isList ? 'choices' : options.length > 0 && type !== 'boolean' && type !== 'number' && type !== 'integer' ? 'choice'
    : type === 'number' || type === 'integer' || type === 'boolean' ? type : 'text';
  const bound = (...names: string[]): number | undefined =>
    names.map((bounded) => property[bounded]).find((value): value is number => typeof value === 'number');
  return {
    name, kind, required, options,
    title: typeof title === 'string' && title !== '' ? title : name,
    description: typeof description === 'string' && description !== '' ? description : undefined,
    default: valueOf(property['default']),
    format: typeof format === 'string' ? format : undefined,
    minimum: bound('minimum', 'minLength', 'minItems'),
    maximum: bound('maximum', 'maxLength', 'maxItems'),
  };
}

/** Both of MCP's forms: `enum` with `enumNames`, and `oneOf` (in lists `anyOf`) of `const` and `title`. */
function optionsOf(property: Record<string, unknown>): FormField['options'] {
  if (Array.isArray(property['enum'])) {
    const names = arrayOf(property['enumNames']);
    return property['enum'].map((value, at) => ({ value: String(value), label: String(names[at] ?? value) }));
  }
  return [...arrayOf(property['oneOf']), ...arrayOf(property['anyOf'])].flatMap((option) => {
    const { const: value, title } = objectOf(option);
    return value === undefined ? [] : [{ value: String(value), label: String(title ?? value) }];
  });
}

function valueOf(value: unknown): FormValue | undefined {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return Array.isArray(value) ? value.map(String) : undefined;
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {};
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
