// Where buildings stand and where the transmitter is, on 256 x 256 pixels of one metre.
export const SIDE = 256;

export class Scene {
  constructor() {
    this.buildings = new Uint8Array(SIDE * SIDE); // 1 = building, rows from the top
    this.transmitter = null; // [row, column]
  }

  isBuilding([row, column]) {
    return this.buildings[row * SIDE + column] === 1;
  }

  // Whether a map can be computed: a transmitter on open ground.
  get whole() {
    return this.transmitter !== null && !this.isBuilding(this.transmitter);
  }

  clear() {
    this.buildings.fill(0);
  }

  swap() {
    this.buildings.forEach((value, place) => { this.buildings[place] = 1 - value; });
  }

  // Fill the rectangle between two pixels, both included, with buildings (1) or open ground (0).
  fill([row, column], [otherRow, otherColumn], value) {
    const [top, bottom] = [row, otherRow].sort((a, b) => a - b);
    const [left, right] = [column, otherColumn].sort((a, b) => a - b);
    for (let line = top; line <= bottom; line += 1) {
      this.buildings.fill(value, line * SIDE + left, line * SIDE + right + 1);
    }
  }

  // Buildings of a picture: pixels that are not black and not transparent, as masks on disk have them. What is larger than
  // 256 x 256 is cut around its middle, what is smaller lies in the middle of open ground.
  async read(source) {
    const bitmap = await createImageBitmap(source);
    const canvas = new OffscreenCanvas(SIDE, SIDE);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, Math.round((SIDE - bitmap.width) / 2), Math.round((SIDE - bitmap.height) / 2));
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    for (let place = 0; place < this.buildings.length; place += 1) {
      const [red, green, blue, opacity] = data.subarray(4 * place, 4 * place + 4);
      this.buildings[place] = opacity > 127 && Math.max(red, green, blue) > 127 ? 1 : 0;
    }
    return [bitmap.width, bitmap.height];
  }

  // The open pixel that is nearest to a place; null where all is built over.
  nearestOpen([row, column]) {
    let [best, shortest] = [null, Infinity];
    this.buildings.forEach((value, place) => {
      const [down, across] = [Math.floor(place / SIDE) - row, (place % SIDE) - column];
      if (!value && down * down + across * across < shortest) {
        [best, shortest] = [[row + down, column + across], down * down + across * across];
      }
    });
    return best;
  }
}
