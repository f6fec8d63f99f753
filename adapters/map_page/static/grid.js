// The Web-Mercator tile grid, as the server counts it, and cells of it on the map.

const SCREEN_ZOOMS = 4; // cells of 16 pixels

// The latitudes and longitudes of a tile's corners, south-west and north-east.
export function boundsOf(zoom, x, y) {
  const size = 2 ** zoom;
  const latitude = (row) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * row) / size))) * 180) / Math.PI;
  const longitude = (column) => (column / size) * 360 - 180;
  return [[latitude(y + 1), longitude(x)], [latitude(y), longitude(x + 1)]];
}

// The column and row of the tile that covers a place.
export function placeAt(zoom, { lat, lng }) {
  const size = 2 ** zoom;
  const sine = Math.sin((lat * Math.PI) / 180);
  const within = (number) => Math.min(Math.max(Math.floor(number), 0), size - 1);
  return {
    x: within((lng / 360 + 0.5) * size),
    y: within((0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)) * size),
  };
}

// What is on the screen, as the server takes it.
export function view(map) {
  const box = map.getBounds();
  const longitude = (value) => Math.min(Math.max(value, -180), 180);
  const latitude = (value) => Math.min(Math.max(value, -85.0511287798), 85.0511287798);
  const edges = [
    longitude(box.getWest()), latitude(box.getSouth()), longitude(box.getEast()), latitude(box.getNorth()),
  ];
  return { bbox: edges.join(","), finest: Math.min(map.getZoom() + SCREEN_ZOOMS, 22) };
}

// Cells of the grid on one canvas. Paths of Leaflet would be projected one by one after each move.
const CellCanvas = L.Renderer.extend({
  cells: [],

  _initContainer() {
    this._container = document.createElement("canvas");
    this._context = this._container.getContext("2d");
  },

  _destroyContainer() {
    this._container.remove();
    this._container = this._context = null;
  },

  _update() {
    if (this._map._animatingZoom && this._bounds) return;
    L.Renderer.prototype._update.call(this);
    const { min } = this._bounds;
    const { x: width, y: height } = this._bounds.getSize();
    const dots = Math.ceil(devicePixelRatio);
    L.DomUtil.setPosition(this._container, min);
    Object.assign(this._container, { width: width * dots, height: height * dots });
    Object.assign(this._container.style, { width: `${width}px`, height: `${height}px` });
    this._context.setTransform(dots, 0, 0, dots, -min.x * dots, -min.y * dots);
    for (const cell of this.cells) this._drawCell(cell);
  },

  _updatePaths() {},

  _drawCell({ zoom, x, y, last = x, style }) {
    const size = 256 * 2 ** (this._map.getZoom() - zoom);
    const origin = this._map.getPixelOrigin();
    const box = [x * size - origin.x, y * size - origin.y, (last + 1 - x) * size, size];
    const { min, max } = this._bounds;
    if (box[0] > max.x || box[1] > max.y || box[0] + box[2] < min.x || box[1] + box[3] < min.y) return;
    const context = this._context;
    context.fillStyle = context.strokeStyle = style.color;
    if (style.fillOpacity) {
      context.globalAlpha = style.fillOpacity;
      context.fillRect(...box);
      context.globalAlpha = 1;
    }
    context.lineWidth = style.weight;
    context.setLineDash(style.dashArray ? style.dashArray.split(" ").map(Number) : []);
    context.strokeRect(...box);
  },
});

// Cells in one pane that are drawn anew as a whole.
export class Cells {
  constructor(map, pane) {
    map.createPane(pane).style.pointerEvents = "none";
    this.canvas = new CellCanvas({ pane }).addTo(map);
  }

  draw(cells) {
    this.canvas.cells = cells;
    this.canvas._update();
  }

  clear() {
    this.draw([]);
  }
}
