// What the agent takes back: the text of a message that does not stand, and calls that will never come.
import { withEntries } from './edit.js';
/** Puts what stands of a message in its place. Where nothing of it stands, the message goes. */
export function retracted(state, message) {
    // A call that has its result has come; what is left of it is no part of this.
    const gone = new Set(message.tool_use_ids.filter((id) => state.tools[id]?.result === undefined));
    const tools = gone.size === 0 ? state.tools
        : Object.fromEntries(Object.entries(state.tools).filter(([id]) => !gone.has(id)));
    return withEntries({ ...state, tools }, message.parent_tool_use_id, (entries) => {
        if (!entries.some((entry) => isMeant(entry, message)))
            return entries;
        return entries.flatMap((entry) => {
            if (!isMeant(entry, message))
                return [entry];
            const called = entry.parts.filter((part) => part.kind !== 'tool' || !gone.has(part.toolUseId));
            const parts = standing(standing(called, 'text', message.kept), 'thinking', message.kept_thinking ?? '');
            return parts.length === 0 ? [] : [{ ...entry, streaming: false, parts }];
        });
    });
}
function isMeant(entry, message) {
    return entry.kind === 'assistant' && entry.id === message.message_id;
}
/** The parts with `kept` in the place of what they said of that kind: mostly its beginning stands. */
function standing(parts, kind, kept) {
    let rest = kept;
    const cut = parts.flatMap((part) => {
        if (part.kind !== kind)
            return [part];
        const text = rest.startsWith(part.text) ? part.text : part.text.startsWith(rest) ? rest : undefined;
        if (text === undefined)
            return [];
        rest = rest.slice(text.length);
        return text === '' ? [] : [{ kind, text }];
    });
    if (rest === '')
        return cut;
    // Something from the middle went: all that stands in the place of the first part.
    let isFirst = true;
    const whole = parts.flatMap((part) => {
        if (part.kind !== kind)
            return [part];
        if (!isFirst)
            return [];
        isFirst = false;
        return [{ kind, text: kept }];
    });
    return isFirst ? [...whole, { kind, text: kept }] : whole;
}
