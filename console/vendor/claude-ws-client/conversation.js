// What a conversation looks like to a user interface. Plain, immutable data: a changed part is a new object.
/** The questions of an `AskUserQuestion` prompt; `undefined` for any other, and for input of another form. */
export function questionsOf(request) {
    if (request.tool_name !== 'AskUserQuestion')
        return undefined;
    const list = request.tool_input['questions'];
    if (!Array.isArray(list))
        return undefined;
    const questions = list.flatMap((item) => {
        if (!isObject(item) || typeof item['question'] !== 'string')
            return [];
        const options = Array.isArray(item['options']) ? item['options'] : [];
        return [{
                question: item['question'],
                header: textOf(item['header']),
                multiSelect: item['multiSelect'] === true,
                options: options.flatMap((option) => {
                    if (typeof option === 'string')
                        return [{ label: option, description: undefined }];
                    if (!isObject(option) || typeof option['label'] !== 'string')
                        return [];
                    return [{ label: option['label'], description: textOf(option['description']) }];
                }),
            }];
    });
    return questions.length > 0 ? questions : undefined;
}
function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function textOf(value) {
    return typeof value === 'string' && value !== '' ? value : undefined;
}
