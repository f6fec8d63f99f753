// Sectors by their shapes, and a list that moves the map to each.

import { byId, element, listedButton } from "./elements.js";
import { ask } from "./server.js";

const STYLES = {
  active_conflict: { color: "#c43c00", weight: 2, dashArray: "6 4", fillOpacity: 0.08 },
  stable_rear: { color: "#009e73", weight: 2, fillOpacity: 0.05 },
};
const MOST_LISTED = 200;

export class Sectors {
  constructor(map) {
    this.map = map;
    this.layer = L.geoJSON(null, {
      interactive: false,
      style: (feature) => STYLES[feature.properties.classification],
    }).addTo(map);
  }

  async load() {
    const found = await ask("/sectors.geojson");
    this.layer.addData(found);
    const items = [];
    this.layer.eachLayer((shape) => {
      if (items.length < MOST_LISTED) items.push(this.listed(shape));
    });
    const left = found.features.length - items.length;
    if (left > 0) items.push(element("li", `and ${left} more`));
    if (!items.length) items.push(element("li", "none: the default classification holds everywhere"));
    byId("sector-list").replaceChildren(...items);
  }

  listed(shape) {
    const { sector, classification, max_age_seconds: seconds } = shape.feature.properties;
    const content = `${sector}: ${classification}, ${Math.round(seconds / 86400)} days`;
    return listedButton(content, () => this.map.fitBounds(shape.getBounds(), { maxZoom: 12 }));
  }

  show(wanted) {
    if (wanted) this.layer.addTo(this.map);
    else this.layer.remove();
  }
}
