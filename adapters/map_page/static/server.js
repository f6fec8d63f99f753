// Questions to the server that the page came from, and to no other.

const underWay = new Map();

// The answer as JSON. A later question under the same name cancels an earlier one, which then gives null.
// Throws an Error with the server's line for whatever it refused.
export async function ask(path, parameters = {}, name = path, options = {}) {
  underWay.get(name)?.abort();
  const controller = new AbortController();
  underWay.set(name, controller);
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null));
  try {
    const answer = await fetch(query.size ? `${path}?${query}` : path, { ...options, signal: controller.signal });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  } finally {
    if (underWay.get(name) === controller) underWay.delete(name);
  }
}
