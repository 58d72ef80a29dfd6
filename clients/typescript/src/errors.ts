import type { ErrorCode, ErrorMessage, EndReason, Warning, WarningCode } from './protocol.js';

/** Base of everything that this package throws, so that one `instanceof` tells it apart. */
export class ClientError extends Error {
  override name = 'ClientError';
}

/** The gateway refused a request. `code` is for programs, `message` for people. */
export class GatewayError extends ClientError {
  override name = 'GatewayError';
  readonly code: ErrorCode | WarningCode;
  constructor(reply: Pick<ErrorMessage | Warning, 'code' | 'message'>) {
    super(reply.message || reply.code);
    this.code = reply.code;
  }
}

/** The connection broke before the answer came, and the request is not one that may be repeated blindly. */
export class ConnectionLostError extends ClientError {
  override name = 'ConnectionLostError';
}

/** The client was closed, or gave up reconnecting. */
export class ClientClosedError extends ClientError {
  override name = 'ClientClosedError';
}

/** No answer in time. The request may still have taken effect. */
export class TimeoutError extends ClientError {
  override name = 'TimeoutError';
}

/** The session is over. */
export class SessionEndedError extends ClientError {
  override name = 'SessionEndedError';
  readonly reason: EndReason | 'closed';
  constructor(reason: EndReason | 'closed') {
    super(reason === 'closed' ? 'the session was closed on this side' : `the session ended (${reason})`);
    this.reason = reason;
  }
}

/** The gateway no longer knows the conversation: the session was made anew under the same id. */
export class SessionLostError extends ClientError {
  override name = 'SessionLostError';
}

/** The gateway was killed before it had stored the message, and lost it. Sent again it runs as a new one. */
export class MessageLostError extends ClientError {
  override name = 'MessageLostError';
}

/** A message is larger than the gateway takes. */
export class MessageTooBigError extends ClientError {
  override name = 'MessageTooBigError';
}

/** A reader of `events()` was too slow. Nothing is lost on the server: read again from `lastSeq`. */
export class EventOverflowError extends ClientError {
  override name = 'EventOverflowError';
  /** The last event that this reader was given. */
  readonly lastSeq: number;
  constructor(limit: number, lastSeq: number) {
    super(`more than ${limit} events were waiting to be read; the last one delivered was ${lastSeq}`);
    this.lastSeq = lastSeq;
  }
}
