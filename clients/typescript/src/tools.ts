// Runs the client's tools: a `tool_use` with executor `client` calls a handler, what it gives goes back as `tool_result`.

import type { Content, JsonObject, ServerMessage, ToolUse } from './protocol.js';

/** Given to a handler besides the input. */
export interface ToolContext {
  toolUseId: string;
  toolName: string;
  /** Aborts when the result is no longer wanted: interrupted, answered by another client, session over. */
  signal: AbortSignal;
}

/** What a handler gives back: text, content blocks, or text or blocks marked as an error. A throw is an error too. */
export type ToolOutcome = Content | { content: Content; isError: boolean };

/**
 * Runs one call of a client tool. Where several clients are attached to a session, each of them that registered the tool
 * runs it and the first answer wins; after a reload a call that is still open runs again.
 */
export type ToolHandler = (input: JsonObject, context: ToolContext) => ToolOutcome | Promise<ToolOutcome>;

const PREFIX = 'mcp__client__';

/** The name as the client registered it. */
export function plainToolName(name: string): string {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
}

export class ToolRunner {
  readonly #handlers = new Map<string, ToolHandler>();
  readonly #answer: (toolUseId: string, content: Content, isError: boolean) => Promise<void>;
  readonly #open = new Map<string, ToolUse>();
  readonly #running = new Map<string, AbortController>();
  readonly #prompts = new Map<string, string>();

  constructor(
    handlers: Record<string, ToolHandler>,
    answer: (toolUseId: string, content: Content, isError: boolean) => Promise<void>,
  ) {
    this.#answer = answer;
    for (const [name, handler] of Object.entries(handlers)) this.register(name, handler);
  }

  register(name: string, handler: ToolHandler): void {
    this.#handlers.set(plainToolName(name), handler);
  }

  /** The tool call that a prompt is about. */
  promptTool(permissionId: string): string | undefined {
    return this.#prompts.get(permissionId);
  }

  /** Keeps track of which calls are open. Nothing runs yet: in a replay the answer may follow. */
  see(event: ServerMessage): void {
    switch (event.type) {
      case 'tool_use':
        if (event.executor === 'client') this.#open.set(event.tool_use_id, event);
        break;
      case 'permission_request':
        this.#prompts.set(event.id, event.tool_use_id);
        break;
      case 'tool_result':
        this.#close(event.tool_use_id);
        break;
      case 'assistant_message_retracted':
        for (const id of event.tool_use_ids) this.#close(id);
        break;
      case 'result':
        if (event.subtype === 'cancelled') break; // A message that was still queued; the running turn goes on.
        for (const id of [...this.#open.keys()]) this.#close(id);
        this.#prompts.clear();
        break;
    }
  }

  /** Runs every open call that has a handler and does not run yet. */
  run(): void {
    for (const call of this.#open.values()) {
      const handler = this.#handlers.get(plainToolName(call.tool_name));
      if (handler && !this.#running.has(call.tool_use_id)) void this.#call(call, handler);
    }
  }

  stop(): void {
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  async #call(call: ToolUse, handler: ToolHandler): Promise<void> {
    const controller = new AbortController();
    this.#running.set(call.tool_use_id, controller);
    let content: Content;
    let isError = false;
    try {
      const outcome = await handler(call.tool_input, {
        toolUseId: call.tool_use_id, toolName: plainToolName(call.tool_name), signal: controller.signal,
      });
      if (typeof outcome === 'string' || Array.isArray(outcome)) content = outcome;
      else ({ content, isError } = outcome);
    } catch (error) {
      content = error instanceof Error ? error.message : String(error);
      isError = true;
    }
    if (controller.signal.aborted) return;
    // Refused means that somebody else was faster, or that the turn is over: nothing is left to do.
    await this.#answer(call.tool_use_id, content, isError).catch(() => {});
  }

  #close(toolUseId: string): void {
    this.#open.delete(toolUseId);
    this.#running.get(toolUseId)?.abort();
    this.#running.delete(toolUseId);
  }
}
