// The page "Try it": buildings and a transmitter in, a path gain map out. The model runs in worker.js.
import { decibels, drawMap, drawMark, drawScale, picture, TICKS } from "./colours.js";
import { Scene, SIDE } from "./scene.js";

const MARKS = 512; // pixels of the canvas of marks, so that lines are fine
const NAME = "dpm-regression";
const PATIENCE_MS = 500; // for the service worker, which some browsers never answer for; a map on one thread takes not much longer
const find = (name) => document.querySelector(`#try-it [data-part="${name}"]`);
const [map, marks, scale] = ["map", "marks", "scale"].map((name) => find(name));
const scene = new Scene();
let [gain, pointer, corner] = [null, null, null]; // the map; pixels [row, column] that are pointed at and dragged from
let [busy, waiting, number] = [true, false, 0]; // whether the worker computes, whether the scene has changed since, of which request

const say = (text) => { find("status").textContent = text; };
const tool = () => document.querySelector("#try-it input[name=tool]:checked").value;
const minus = (text) => text.replace("-", "\u2212");

// ---- threads ----

// Threads need two headers, which a service worker adds from the second time on that the page is loaded. True where it is loaded
// again at once.
async function isolated() {
  if (self.crossOriginIsolated || !("serviceWorker" in navigator) || navigator.hardwareConcurrency < 2) return false;
  try {
    if (sessionStorage.getItem("isolation-tried")) return false;
    sessionStorage.setItem("isolation-tried", "yes");
    await navigator.serviceWorker.register(new URL("isolation.js", import.meta.url));
    const late = new Promise((_, reject) => { setTimeout(reject, PATIENCE_MS); });
    await Promise.race([navigator.serviceWorker.ready, late]);
  } catch {
    return false; // one thread will do
  }
  location.reload();
  return true;
}

// ---- drawing ----

function show() {
  drawMap(map, scene.buildings, gain);
  showMarks();
  for (const name of ["png", "csv"]) find(name).disabled = gain === null;
}

function showMarks() {
  const context = marks.getContext("2d");
  const zoom = MARKS / SIDE;
  context.clearRect(0, 0, MARKS, MARKS);
  if (corner && pointer) {
    const [[top, bottom], [left, right]] = [0, 1].map((axis) => [corner[axis], pointer[axis]].sort((a, b) => a - b));
    context.fillStyle = tool() === "building" ? "rgba(80, 80, 80, 0.7)" : "rgba(255, 255, 255, 0.7)";
    context.fillRect(left * zoom, top * zoom, (right - left + 1) * zoom, (bottom - top + 1) * zoom);
  }
  if (scene.transmitter) {
    const [row, column] = scene.transmitter;
    drawMark(context, (column + 0.5) * zoom, (row + 0.5) * zoom, 12);
  }
  if (pointer && document.activeElement === map) {
    context.strokeStyle = "#fff";
    context.lineWidth = 3;
    context.strokeRect(pointer[1] * zoom - 4, pointer[0] * zoom - 4, zoom + 8, zoom + 8);
    context.strokeStyle = "#000";
    context.lineWidth = 1;
    context.strokeRect(pointer[1] * zoom - 6, pointer[0] * zoom - 6, zoom + 12, zoom + 12);
  }
}

function readOut() {
  if (!pointer) return;
  const [row, column] = pointer;
  const place = row * SIDE + column;
  const parts = [`row ${row}, column ${column}`];
  if (scene.buildings[place]) parts.push("building");
  else if (gain) parts.push(`${minus(decibels(gain[place]).toFixed(1))} dB`);
  if (scene.transmitter) parts.push(`${Math.hypot(row - scene.transmitter[0], column - scene.transmitter[1]).toFixed(0)} m from the transmitter`);
  find("read-out").textContent = parts.join(", ");
}

// ---- the model ----

let worker = null;

function start() {
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => answers[data.kind](data));
  worker.addEventListener("error", (event) => answers.error({ text: event.message ?? "the worker could not be started" }));
  busy = false;
}

const answers = {
  progress({ megabytes }) { if (gain === null) say(`Loading the model and onnxruntime: ${megabytes.toFixed(1)} MB`); },
  error({ text }) {
    busy = false;
    say(`There is no map: ${text}.`);
  },
  map(answer) {
    busy = false;
    if (answer.number === number && !waiting) {
      gain = answer.gain;
      const threads = answer.threads === 1 ? "one thread" : `${answer.threads} threads`;
      say(`Map computed in ${answer.seconds.toFixed(2)} s, ${threads}.`);
      show();
      readOut();
    }
    if (waiting) compute();
  },
};

// Ask for the map of the scene as it is now; at most one request is under way, and only the last scene waits.
function compute() {
  [gain, number] = [null, number + 1];
  show();
  waiting = busy;
  if (!scene.whole) {
    waiting = false;
    say(scene.transmitter ? "The transmitter stands in a building. Click on open ground." : "Click where the transmitter stands.");
  } else if (!busy) {
    busy = true;
    say("Computing …");
    worker.postMessage({ number, buildings: scene.buildings, transmitter: scene.transmitter });
  }
}

// ---- what the reader does ----

function place(pixel) {
  if (scene.isBuilding(pixel)) {
    say("There is a building. Click on open ground.");
    return;
  }
  scene.transmitter = pixel;
  compute();
}

function finish(pixel) {
  scene.fill(corner, pixel, tool() === "building" ? 1 : 0);
  corner = null;
  compute();
}

const pixelOf = (event) => {
  const box = map.getBoundingClientRect();
  return [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]
    .map((share) => Math.min(Math.max(Math.floor(share * SIDE), 0), SIDE - 1));
};

map.addEventListener("pointerdown", (event) => {
  pointer = pixelOf(event);
  map.focus({ preventScroll: true });
  if (tool() === "transmitter") return;
  map.setPointerCapture(event.pointerId);
  corner = pointer;
  showMarks();
});
map.addEventListener("pointermove", (event) => {
  pointer = pixelOf(event);
  readOut();
  showMarks();
});
map.addEventListener("pointerup", (event) => {
  pointer = pixelOf(event);
  if (tool() === "transmitter") place(pointer);
  else if (corner) finish(pointer);
  readOut();
});
map.addEventListener("pointercancel", () => { corner = null; showMarks(); });

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
map.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  pointer ??= scene.transmitter ?? [SIDE / 2, SIDE / 2];
  if (step) {
    const metres = event.shiftKey ? 16 : 1;
    pointer = pointer.map((value, axis) => Math.min(Math.max(value + metres * step[axis], 0), SIDE - 1));
  } else if (event.key === "Enter" || event.key === " ") {
    if (tool() === "transmitter") place(pointer);
    else if (corner) finish(pointer);
    else corner = pointer;
  } else if (event.key === "Escape") {
    corner = null;
  } else return;
  event.preventDefault();
  event.stopPropagation(); // the theme has keys of its own
  readOut();
  showMarks();
});
for (const kind of ["focus", "blur"]) map.addEventListener(kind, showMarks);

function changed() {
  corner = null;
  if (scene.transmitter && scene.isBuilding(scene.transmitter)) scene.transmitter = scene.nearestOpen(scene.transmitter);
  compute();
}

async function open(source) {
  const [width, height] = await scene.read(source);
  scene.transmitter ??= scene.nearestOpen([SIDE / 2, SIDE / 2]);
  changed();
  return [width, height];
}

async function openCity(name) {
  await open(await (await fetch(new URL(`cities/${name}.png`, import.meta.url))).blob());
}

find("city").addEventListener("change", ({ target }) => { if (target.value) openCity(target.value); });
find("file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  try {
    find("city").value = "";
    const size = await open(file);
    find("size").textContent = size.every((side) => side === SIDE) ? "" : `The picture has ${size.join(" x ")} pixels: its middle is shown.`;
  } catch {
    say(`${file.name} is no picture that the browser can read. Choose a PNG or a JPEG.`);
  }
  target.value = "";
});
find("clear").addEventListener("click", () => { find("city").value = ""; scene.clear(); changed(); });
find("swap").addEventListener("click", () => { find("city").value = ""; scene.swap(); changed(); });
function toolChosen() {
  corner = null;
  map.style.touchAction = tool() === "transmitter" ? "manipulation" : "none"; // a finger that draws must not move the page
  showMarks();
}
document.querySelectorAll("#try-it input[name=tool]").forEach((each) => each.addEventListener("change", toolChosen));

// ---- downloads ----

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

find("png").addEventListener("click", () => {
  const caption = `Path gain at 5.9 GHz, 256 m x 256 m, by ${NAME}; transmitter at row ${scene.transmitter[0]}, column ${scene.transmitter[1]}`;
  picture(map, scale, scene.transmitter, caption).toBlob((blob) => download(blob, "path-gain.png"));
});
find("csv").addEventListener("click", () => {
  const rows = Array.from({ length: SIDE }, (_, row) => Array.from({ length: SIDE }, (_, column) => {
    const pixel = row * SIDE + column;
    return scene.buildings[pixel] ? "" : decibels(gain[pixel]).toFixed(2);
  }).join(","));
  download(new Blob([rows.join("\n"), "\n"], { type: "text/csv" }), "path-gain-db.csv");
});

// ---- begin ----

drawScale(scale);
toolChosen();
find("ticks").replaceChildren(...TICKS.map(([value, share]) => {
  const tick = document.createElement("span");
  tick.style.left = `${100 * share}%`;
  tick.textContent = minus(String(value));
  return tick;
}));
if (!(await isolated())) {
  start();
  await openCity(find("city").value);
}
