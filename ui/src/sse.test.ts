import { expect, test } from "vitest";

import { EventStreamParser } from "./sse";

const STREAM = ': hello\n\nevent: defect\ndata: {"id":\ndata: "a"}\n\n: beat\r\n\r\nevent:gone\r\ndata:{"id":"b"}\r\n\r\ndata: x\n\nevent: cut\ndata: off';
const EVENTS = [
  { name: "defect", data: '{"id":\n"a"}' },
  { name: "gone", data: '{"id":"b"}' },
  { name: "message", data: "x" },
];

test("events come out whole, however the stream is cut", () => {
  for (let step = 1; step <= STREAM.length; step += 1) {
    const parser = new EventStreamParser();
    const events = [];
    for (let i = 0; i < STREAM.length; i += step) events.push(...parser.push(STREAM.slice(i, i + step)));
    expect(events).toEqual(EVENTS);
  }
});
