// How long silence is borne with. The socket is played; time is vitest's.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Client } from '../src/index.js';

class PlayedSocket {
  static last: PlayedSocket;
  static count = 0;
  readyState = 1;
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  pinged: () => void = () => {};

  constructor() {
    PlayedSocket.last = this;
    PlayedSocket.count += 1;
  }

  send(): void {}
  close(): void {}

  on(_: 'ping', listener: () => void): void {
    this.pinged = listener;
  }

  says(message: Record<string, unknown>): void {
    this.onmessage?.({ data: JSON.stringify({ id: 'r', session_id: '', ...message }) });
  }
}

const HEARTBEAT = 15_000;
let client: Client;

beforeEach(() => {
  vi.useFakeTimers();
  PlayedSocket.count = 0;
  client = new Client({ url: 'ws://played/ws', WebSocket: PlayedSocket, heartbeatMs: HEARTBEAT });
  client.connect();
  PlayedSocket.last.onopen?.({});
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

const status = () => client.connection.status;

describe('silence', () => {
  it('is given two and a half heartbeats', () => {
    vi.advanceTimersByTime(HEARTBEAT * 2);
    expect(status()).toBe('open');
    vi.advanceTimersByTime(HEARTBEAT);
    expect(status()).not.toBe('open');
  });

  it('is borne with while an announced message comes, as long as that may take', () => {
    // 8 MB at 1 Mbit/s are 64 s; it hung up after 45.
    PlayedSocket.last.says({ type: 'heartbeat', timestamp: 1, incoming_bytes: 8_000_000 });
    vi.advanceTimersByTime(400_000);
    expect(status()).toBe('open');
    // Here it is. What follows is not announced any more.
    PlayedSocket.last.says({ type: 'config_response', config: {} });
    vi.advanceTimersByTime(HEARTBEAT * 4);
    expect(status()).not.toBe('open');
  });

  it('ends at last, also where a message was announced', () => {
    PlayedSocket.last.says({ type: 'heartbeat', timestamp: 1, incoming_bytes: 1_638_400 });
    vi.advanceTimersByTime(100_000 + HEARTBEAT * 4);
    expect(status()).not.toBe('open');
  });

  it('is none where pings come, which the package `ws` tells of', () => {
    for (let beats = 0; beats < 10; beats += 1) {
      vi.advanceTimersByTime(HEARTBEAT * 2);
      PlayedSocket.last.pinged();
    }
    expect(status()).toBe('open');
    vi.advanceTimersByTime(HEARTBEAT * 3);
    expect(status()).not.toBe('open');
  });

  it('is no evidence where the timer itself was late', () => {
    vi.advanceTimersByTime(HEARTBEAT - 1);
    // The page was frozen: the clock goes on, no timer fires, and what came is told behind them.
    vi.setSystemTime(Date.now() + HEARTBEAT * 10);
    vi.advanceTimersByTime(1);
    expect(status()).toBe('open');
    PlayedSocket.last.says({ type: 'heartbeat', timestamp: 1 });
    vi.advanceTimersByTime(HEARTBEAT * 2);
    expect(status()).toBe('open');
    vi.advanceTimersByTime(HEARTBEAT * 2);
    expect(status()).not.toBe('open');
  });
});
