// Runs the real gateway with its scripted model (`--demo`) and the real Claude Code CLI.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export interface Gateway {
  /** Of `/ws`. */
  url: string;
  /** Where its sessions work. */
  workspace: string;
  stop(): Promise<void>;
}

export async function startGateway(more: string[] = []): Promise<Gateway> {
  const binary = process.env['CLAUDE_WS_BIN'] ?? resolve(import.meta.dirname, '../../../target/debug/claude-ws');
  if (!existsSync(binary)) throw new Error(`no gateway at ${binary}: build it, or set CLAUDE_WS_BIN`);
  const home = await realpath(await mkdtemp(join(tmpdir(), 'claude-ws-client-')));
  const claude = process.env['CLAUDE_WS_CLAUDE_BIN'];
  const child = spawn(binary, [
    '--demo', '--bind', '127.0.0.1:0', '--workspace-root', home, '--ephemeral',
    ...(claude ? ['--claude-bin', claude] : []), ...more,
  ], { cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
  const address = await announced(child);
  return {
    url: `${address.replace(/^http/, 'ws')}/ws`,
    workspace: home,
    async stop() {
      if (child.exitCode === null) {
        const gone = new Promise((done) => child.once('exit', done));
        // Twice: the first asks running turns to finish, the second does not wait for them.
        child.kill('SIGTERM');
        child.kill('SIGTERM');
        await gone;
      }
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** The address that it says it serves at. */
function announced(child: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let said = '';
    const listen = (chunk: Buffer) => {
      said += chunk.toString();
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (address) found(address[0]);
    };
    child.stdout!.on('data', listen);
    child.stderr!.on('data', listen);
    child.once('error', failed);
    child.once('exit', (code) => failed(new Error(`the gateway ended with ${code}:\n${said}`)));
  });
}
