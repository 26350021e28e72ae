// The model, away from the page's own thread: {number, buildings, transmitter} in; progress, maps and errors out.
import * as ort from "../assets/vendor/onnxruntime-web/ort.wasm.min.mjs";

const RUNTIME = new URL("../assets/vendor/onnxruntime-web/", import.meta.url);
const MODEL = new URL("dpm-regression.onnx", import.meta.url);
const SIDE = 256;
const MOST_THREADS = 4;

async function bytes(url, loaded) {
  const response = await fetch(url);
  if (!response.ok) {
    const name = url.pathname.split("/").pop();
    throw new Error(url === MODEL ? "the site was built without its model, which needs the Python package onnx" : `${name} is not there`);
  }
  const parts = [];
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded(part.value.length);
  }
  return new Blob(parts);
}

// Some servers unpack .gz files on the way.
async function unpacked(blob) {
  const head = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const packed = head[0] === 0x1f && head[1] === 0x8b;
  return packed ? new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer() : blob.arrayBuffer();
}

async function load() {
  let total = 0;
  const loaded = (count) => { total += count; postMessage({ kind: "progress", megabytes: total / 1e6 }); };
  const names = ["ort-wasm-simd-threaded.wasm.gz", "ort-wasm-simd-threaded.mjs"].map((name) => new URL(name, RUNTIME));
  const [runtime, glue, model] = await Promise.all([...names, MODEL].map((url) => bytes(url, loaded)));
  // From a blob, so that its threads are as isolated as this worker, whatever the server says of that file.
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
  ort.env.wasm.wasmBinary = await unpacked(runtime);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  // The graph is made for this: what onnxruntime's optimisation would still save in a map takes it as long as a whole map. Threads
  // that sleep when they wait take nothing from other programs, and on idle cores are as fast.
  const options = { graphOptimizationLevel: "disabled", extra: { session: { intra_op: { allow_spinning: "0" } } } };
  return ort.InferenceSession.create(new Uint8Array(await model.arrayBuffer()), options);
}

const session = load();
session.catch((error) => postMessage({ kind: "error", text: String(error.message ?? error) }));

self.addEventListener("message", async ({ data }) => {
  try {
    const ready = await session;
    const start = performance.now();
    const inputs = {
      buildings: new ort.Tensor("uint8", data.buildings, [1, SIDE, SIDE]),
      position: new ort.Tensor("int32", Int32Array.from(data.transmitter), [1, 2]),
    };
    const { gain } = await ready.run(inputs);
    const seconds = (performance.now() - start) / 1000;
    postMessage({ kind: "map", number: data.number, gain: gain.data, seconds, threads: ort.env.wasm.numThreads });
  } catch (error) {
    postMessage({ kind: "error", text: String(error.message ?? error) });
  }
});
