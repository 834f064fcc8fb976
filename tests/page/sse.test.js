import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { readEvents } from "../../ui/server/sse.js";

/** @param {...(string | Uint8Array)} chunks */
async function read(...chunks) {
  const stream = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
      }
      controller.close();
    },
  });
  const events = [];
  for await (const event of readEvents(stream)) events.push(event);
  return events;
}

test("an event has its id, type and data", async () => {
  deepEqual(await read("id: 1-2\nevent: reset\ndata: {}\n\n"), [{ id: "1-2", type: "reset", data: "{}" }]);
});

test("an event without a type is a message", async () => {
  deepEqual(await read("data: x\n\n"), [{ id: null, type: "message", data: "x" }]);
});

test("events are found wherever the chunks of the stream end", async () => {
  const text = "id: 1\r\ndata: é 🎈\r\n\r\nid: 2\ndata: b\n\n";
  const bytes = new TextEncoder().encode(text);
  const whole = await read(text);
  equal(whole.length, 2);
  equal(whole[0]?.data, "é 🎈");
  deepEqual(await read(...Array.from(bytes, (byte) => Uint8Array.of(byte))), whole);
});

test("data on several lines is one text", async () => {
  equal((await read("data: a\ndata:b\ndata:  c\n\n"))[0]?.data, "a\nb\n c");
});

test("the id stays until another one comes", async () => {
  deepEqual((await read("id: 7\ndata: a\n\n", "data: b\n\n")).map(({ id }) => id), ["7", "7"]);
});

test("a keep-alive is a block without data", async () => {
  deepEqual(await read(": keep-alive\n\n"), [{ id: null, type: "message", data: "" }]);
});

test("an event that the stream breaks off in is not delivered", async () => {
  deepEqual((await read("data: whole\n\ndata: half")).map(({ data }) => data), ["whole"]);
});

test("a stream that fails ends like one that was closed", async () => {
  let pulls = 0;
  const stream = new ReadableStream({
    pull(controller) {
      pulls += 1;
      if (pulls === 1) controller.enqueue(new TextEncoder().encode("data: a\n\n"));
      else controller.error(new TypeError("network error"));
    },
  });
  const events = [];
  for await (const { data } of readEvents(stream)) events.push(data);
  deepEqual(events, ["a"]);
});
