// Sectors by their shapes, and a list that moves the map to each.

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
    if (left > 0) items.push(text("li", `and ${left} more`));
    if (!items.length) items.push(text("li", "none: the default classification holds everywhere"));
    document.getElementById("sector-list").replaceChildren(...items);
  }

  listed(shape) {
    const { sector, classification, max_age_seconds: seconds } = shape.feature.properties;
    const button = text("button", `${sector}: ${classification}, ${Math.round(seconds / 86400)} days`);
    button.type = "button";
    button.addEventListener("click", () => this.map.fitBounds(shape.getBounds(), { maxZoom: 12 }));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  show(wanted) {
    if (wanted) this.layer.addTo(this.map);
    else this.layer.remove();
  }
}

function text(name, content) {
  const element = document.createElement(name);
  element.textContent = content;
  return element;
}
