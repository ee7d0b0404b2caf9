/**
 * The live connection to the central service.
 *
 * `EventSource` hides the heartbeat comments, so a dead line would look alive until the system gives up on it. This
 * reads the stream itself: when nothing at all, not even a heartbeat, has come for `SILENCE_MILLIS`, the line counts
 * as broken, the page says so, and a new one is tried.
 */

import { EventStreamParser, type ServerSentEvent } from "./sse";

/** Heartbeats come every 15 s; two may be missed. */
const SILENCE_MILLIS = 35_000;
const FIRST_RETRY_MILLIS = 1_000;
const LONGEST_RETRY_MILLIS = 15_000;

export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "broken"; since: Date; retryInMillis: number };

export interface LiveHandlers {
  /** The stream stands; what was missed meanwhile must be loaded anew. */
  opened(): void;
  event(event: ServerSentEvent): void;
  connection(connection: Connection): void;
}

export function follow(url: string, on: LiveHandlers): void {
  let retryMillis = FIRST_RETRY_MILLIS;
  let brokenSince: Date | null = null;

  async function run(): Promise<void> {
    const stop = new AbortController();
    let watchdog = window.setTimeout(() => stop.abort(), SILENCE_MILLIS);
    const alive = (): void => {
      window.clearTimeout(watchdog);
      watchdog = window.setTimeout(() => stop.abort(), SILENCE_MILLIS);
    };
    try {
      const response = await fetch(url, {
        headers: { accept: "text/event-stream" },
        cache: "no-store",
        signal: stop.signal,
      });
      if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
      brokenSince = null;
      retryMillis = FIRST_RETRY_MILLIS;
      alive();
      on.connection({ state: "live" });
      on.opened();
      const parser = new EventStreamParser();
      const text = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        alive();
        for (const event of parser.push(text.decode(value, { stream: true }))) on.event(event);
      }
    } catch {
      // Whatever ended the stream, the same follows: say that it is broken and try again.
    } finally {
      window.clearTimeout(watchdog);
    }
    brokenSince ??= new Date();
    on.connection({ state: "broken", since: brokenSince, retryInMillis: retryMillis });
    window.setTimeout(() => void run(), retryMillis);
    retryMillis = Math.min(retryMillis * 2, LONGEST_RETRY_MILLIS);
  }

  on.connection({ state: "connecting" });
  void run();
}
