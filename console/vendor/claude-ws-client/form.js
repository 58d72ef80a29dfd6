// The forms of elicitations: what a JSON Schema asks for, as the fields that a user interface shows.
/** The fields of a form, in the schema's order; none for a page to visit. */
export function formOf(request) {
    const schema = objectOf(request.schema);
    const required = arrayOf(schema['required']);
    return Object.entries(objectOf(schema['properties'])).map(([name, property]) => fieldOf(name, objectOf(property), required.includes(name)));
}
function fieldOf(name, property, required) {
    const { type, title, description, format } = property;
    const isList = type === 'array';
    const options = optionsOf(isList ? objectOf(property['items']) : property);
    const kind = isList ? 'choices' : options.length > 0 && type !== 'boolean' && type !== 'number' && type !== 'integer' ? 'choice'
        : type === 'number' || type === 'integer' || type === 'boolean' ? type : 'text';
    const bound = (...names) => names.map((bounded) => property[bounded]).find((value) => typeof value === 'number');
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
function optionsOf(property) {
    if (Array.isArray(property['enum'])) {
        const names = arrayOf(property['enumNames']);
        return property['enum'].map((value, at) => ({ value: String(value), label: String(names[at] ?? value) }));
    }
    return [...arrayOf(property['oneOf']), ...arrayOf(property['anyOf'])].flatMap((option) => {
        const { const: value, title } = objectOf(option);
        return value === undefined ? [] : [{ value: String(value), label: String(title ?? value) }];
    });
}
function valueOf(value) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
        return value;
    return Array.isArray(value) ? value.map(String) : undefined;
}
function objectOf(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}
function arrayOf(value) {
    return Array.isArray(value) ? value : [];
}
