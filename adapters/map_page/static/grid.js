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

// Rectangles in one layer that are drawn anew as a whole.
export class Cells {
  constructor(map, pane) {
    this.map = map;
    map.createPane(pane).style.pointerEvents = "none";
    this.renderer = L.canvas({ pane });
    this.group = L.layerGroup().addTo(map);
  }

  draw(cells) {
    this.group.clearLayers();
    for (const { zoom, x, y, style } of cells) {
      const shown = { renderer: this.renderer, interactive: false, ...style };
      L.rectangle(boundsOf(zoom, x, y), shown).addTo(this.group);
    }
  }

  clear() {
    this.group.clearLayers();
  }

  get size() {
    return this.group.getLayers().length;
  }
}
