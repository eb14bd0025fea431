// Why: the supervision tree comes as a list, depth first; what to draw of it is decided here, without a page.

/** The most children of one parent that are drawn: a server has as many connections as it has. */
const SHOWN = 60;

/** `[{node, name, children, more}]`: each below the nearest path that is there and of which its own is a continuation. */
export function nest(nodes) {
  const top = { children: [], more: 0 };
  const byPath = new Map();
  for (const node of nodes) {
    const parts = node.path.split("/");
    let parent = top;
    let depth = parts.length - 1;
    for (; depth > 0; depth -= 1) {
      const found = byPath.get(parts.slice(0, depth).join("/"));
      if (found) {
        parent = found;
        break;
      }
    }
    const one = { node, name: parts.slice(depth).join("/"), children: [], more: 0 };
    byPath.set(node.path, one);
    if (parent.children.length < SHOWN) parent.children.push(one);
    else parent.more += 1;
  }
  return top.children;
}

/** The paths that were started again since; what was not there before is not. */
export function restarted(before, after) {
  const was = new Map(before.map((node) => [node.path, node.restarts]));
  return after.filter((node) => node.restarts > (was.get(node.path) ?? Infinity)).map((node) => node.path);
}

/** One line about all. */
export function summary(nodes) {
  const others = new Map();
  for (const { state } of nodes) if (state !== "up") others.set(state, (others.get(state) ?? 0) + 1);
  const rest = [...others].map(([state, n]) => `${n} ${state.replaceAll("_", " ")}`).join(", ");
  return `${nodes.length} ${nodes.length === 1 ? "part" : "parts"}, ${rest || "all up"}`;
}
