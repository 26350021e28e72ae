// From the model's answer to decibels and colours; the numbers are those of radiodiff_jax/units.py.
export const WEAKEST = -147;
export const STRONGEST = -47.84;
const STOPS = "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725"
  .split(" ").map((code) => [0, 2, 4].map((start) => parseInt(code.slice(start, start + 2), 16))); // viridis, 17 of its colours
const LEVELS = 256;
export const BUILDING = [138, 138, 138];
const OPEN = [214, 220, 226]; // before there is a map

export const decibels = (gain) => WEAKEST + (STRONGEST - WEAKEST) * gain;

const mixed = (share) => {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const below = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[below].map((value, channel) => Math.round(value + (STOPS[below + 1][channel] - value) * (place - below)));
};
const TABLE = Array.from({ length: LEVELS }, (_, level) => mixed(level / (LEVELS - 1)));
TABLE.forEach((level, number) => { // every level has a colour of its own, so that pictures can be read
  if (number && String(level) === String(TABLE[number - 1])) TABLE[number] = [level[0], level[1] + 1, level[2]];
});

// The colour of a gain in [0, 1].
export const colour = (gain) => TABLE[Math.round(Math.min(Math.max(gain, 0), 1) * (LEVELS - 1))];

// Draw buildings, and the map where there is one, one pixel a metre.
export function drawMap(canvas, buildings, gain) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let place = 0; place < buildings.length; place += 1) {
    const [red, green, blue] = buildings[place] ? BUILDING : gain ? colour(gain[place]) : OPEN;
    image.data.set([red, green, blue, 255], 4 * place);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Draw the scale: weakest on the left, one column a level.
export function drawScale(canvas) {
  const context = canvas.getContext("2d");
  TABLE.forEach((level, column) => {
    context.fillStyle = `rgb(${level.join(",")})`;
    context.fillRect(column, 0, 1, canvas.height);
  });
}

// Decibels that the scale is labelled with, and where they stand on it, 0 to 1.
export const TICKS = [-140, -120, -100, -80, -60].map((value) => [value, (value - WEAKEST) / (STRONGEST - WEAKEST)]);

// A picture for a download: the map three times as large, the transmitter, the scale.
export function picture(map, scale, transmitter, caption) {
  const [zoom, edge, foot] = [3, 16, 92];
  const made = document.createElement("canvas");
  made.width = zoom * map.width + 2 * edge;
  made.height = zoom * map.height + 2 * edge + foot;
  const context = made.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, made.width, made.height);
  context.drawImage(map, edge, edge, zoom * map.width, zoom * map.height);
  drawMark(context, edge + zoom * (transmitter[1] + 0.5), edge + zoom * (transmitter[0] + 0.5), 9);
  const top = zoom * map.height + 2 * edge;
  context.drawImage(scale, edge, top, zoom * map.width, 18);
  context.fillStyle = "#000";
  context.font = "15px system-ui, sans-serif";
  context.textAlign = "center";
  TICKS.forEach(([value, share]) => context.fillText(`${value} dB`.replace("-", "\u2212"), edge + share * zoom * map.width, top + 36));
  context.textAlign = "left";
  context.fillText(caption, edge, top + 66);
  return made;
}

// The transmitter: a white cross with a dark edge, seen on every colour.
export function drawMark(context, x, y, arm) {
  for (const [style, width] of [["#000", 5], ["#fff", 2.5]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(x - arm, y);
    context.lineTo(x + arm, y);
    context.moveTo(x, y - arm);
    context.lineTo(x, y + arm);
    context.stroke();
  }
}
