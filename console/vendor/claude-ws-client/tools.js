// Runs the client's tools: a `tool_use` with executor `client` calls a handler, what it gives goes back as `tool_result`.
const PREFIX = 'mcp__client__';
/** The name as the client registered it. */
export function plainToolName(name) {
    return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
}
export class ToolRunner {
    #handlers = new Map();
    #answer;
    #open = new Map();
    #running = new Map();
    #prompts = new Map();
    constructor(handlers, answer) {
        this.#answer = answer;
        for (const [name, handler] of Object.entries(handlers))
            this.register(name, handler);
    }
    register(name, handler) {
        this.#handlers.set(plainToolName(name), handler);
    }
    /** The tool call that a prompt is about. */
    promptTool(permissionId) {
        return this.#prompts.get(permissionId);
    }
    /** Keeps track of which calls are open. Nothing runs yet: in a replay the answer may follow. */
    see(event) {
        switch (event.type) {
            case 'tool_use':
                if (event.executor === 'client')
                    this.#open.set(event.tool_use_id, event);
                break;
            case 'permission_request':
                this.#prompts.set(event.id, event.tool_use_id);
                break;
            case 'tool_result':
                this.#close(event.tool_use_id);
                break;
            case 'assistant_message_retracted':
                for (const id of event.tool_use_ids)
                    this.#close(id);
                break;
            case 'result':
                if (event.subtype === 'cancelled')
                    break; // A message that was still queued; the running turn goes on.
                for (const id of [...this.#open.keys()])
                    this.#close(id);
                this.#prompts.clear();
                break;
        }
    }
    /** Runs every open call that has a handler and does not run yet. */
    run() {
        for (const call of this.#open.values()) {
            const handler = this.#handlers.get(plainToolName(call.tool_name));
            if (handler && !this.#running.has(call.tool_use_id))
                void this.#call(call, handler);
        }
    }
    stop() {
        for (const id of [...this.#open.keys()])
            this.#close(id);
    }
    async #call(call, handler) {
        const controller = new AbortController();
        this.#running.set(call.tool_use_id, controller);
        let content;
        let isError = false;
        try {
            const outcome = await handler(call.tool_input, {
                toolUseId: call.tool_use_id, toolName: plainToolName(call.tool_name), signal: controller.signal,
            });
            if (typeof outcome === 'string' || Array.isArray(outcome))
                content = outcome;
            else
                ({ content, isError } = outcome);
        }
        catch (error) {
            content = error instanceof Error ? error.message : String(error);
            isError = true;
        }
        if (controller.signal.aborted)
            return;
        // Refused means that somebody else was faster, or that the turn is over: nothing is left to do.
        await this.#answer(call.tool_use_id, content, isError).catch(() => { });
    }
    #close(toolUseId) {
        this.#open.delete(toolUseId);
        this.#running.get(toolUseId)?.abort();
        this.#running.delete(toolUseId);
    }
}
