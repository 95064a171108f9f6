/** A circuit as SVG: values above the wires, gradients below. What is written comes from `scene`. */
import { RADIUS, type NodeMark, scene, type WireMark } from "./scene";
import type { Walk } from "./engine";
import { rems } from "../ui/rems";

interface Props {
  readonly walked: Walk;
  /** How many steps have been done. */
  readonly k: number;
  readonly label: string;
  /** Wires whose gradient stays hidden, by key ("predict first"). */
  readonly hidden?: string | null;
  /** Nodes to mark. */
  readonly marked?: ReadonlySet<string>;
  /** Letters beside gradients, by key of the wire, for a text to speak of them. */
  readonly tags?: Readonly<Record<string, string>>;
  readonly onSelect?: (name: string) => void;
}

export function CircuitView({ walked, k, label, hidden = null, marked, tags = {}, onSelect }: Props) {
  const { nodes, wires, width, height } = scene(walked, k);
  return (
    <svg class="circuit" viewBox={`0 0 ${width} ${height}`} style={rems(width, height)} role="img" aria-label={label}>
      {wires.map((wire) => (
        <WireView key={wire.key} wire={wire} isHidden={hidden === wire.key} tag={tags[wire.key]} />
      ))}
      {nodes.map((node) => (
        <NodeView key={node.name} node={node} isMarked={marked?.has(node.name) ?? false} onSelect={onSelect} />
      ))}
    </svg>
  );
}

const path = (points: WireMark["points"]) => points.map(([x, y], i) => `${i ? "L" : "M"}${x},${y}`).join("");

function WireView({ wire, isHidden, tag }: { wire: WireMark; isHidden: boolean; tag: string | undefined }) {
  const { points, value, gradient, labelX, labelY, hanging } = wire;
  const anchor = hanging ? "start" : "middle";
  const classes = ["wire", wire.skip && "skip", wire.active && "active"].filter(Boolean).join(" ");
  return (
    <g class={classes} data-wire={wire.key}>
      <path class="line" d={path(points)} />
      {gradient !== null && <path class="back" d={path(points)} transform={hanging ? "translate(-4,0)" : "translate(0,4)"} />}
      {value !== null && (
        <text class="value" x={labelX} y={labelY - 9} text-anchor={anchor}>
          {value}
        </text>
      )}
      {gradient !== null && (
        <text class="gradient" x={labelX} y={labelY + (hanging ? 12 : 21)} text-anchor={anchor}>
          {isHidden ? "◂ ∂ ?" : gradient}
        </text>
      )}
      {gradient !== null && tag && <Tag letter={tag} {...besideGradient(wire, gradient)} />}
    </g>
  );
}

/** Bold, at 15 units. */
const WIDTH_OF_LETTER = 9;

/** Where a letter stands free of other writing: right of a hanging leaf's gradient, left of a skip's, else below. */
function besideGradient({ labelX, labelY, hanging, skip }: WireMark, gradient: string): { x: number; y: number } {
  if (hanging) return { x: labelX + 17 + WIDTH_OF_LETTER * gradient.length, y: labelY + 7 };
  return skip ? { x: labelX - 18 - 4 * gradient.length, y: labelY + 16 } : { x: labelX, y: labelY + 38 };
}

function Tag({ letter, x, y }: { letter: string; x: number; y: number }) {
  return (
    <g class="tag">
      <circle cx={x} cy={y} r={10} />
      <text x={x} y={y + 5} text-anchor="middle">
        {letter}
      </text>
    </g>
  );
}

/** A gate has room for so long a name below its sign: sentences speak of gates by their names. */
const LONGEST_NAME = 3;

function NodeView({ node, isMarked, onSelect }: { node: NodeMark; isMarked: boolean; onSelect: Props["onSelect"] }) {
  const { name, gate, x, y, label, sum } = node;
  const leaf = gate === "input" || gate === "weight" || gate === "constant";
  const isNamed = !leaf && label.length === 1 && name.length <= LONGEST_NAME;
  const classes = ["node", gate, leaf && "leaf", node.active && "active", isMarked && "marked"].filter(Boolean).join(" ");
  return (
    <g class={classes} data-node={name} onClick={onSelect && (() => onSelect(name))}>
      {leaf ? (
        <rect x={x - RADIUS - 2} y={y - 15} width={2 * RADIUS + 4} height={30} rx={15} />
      ) : (
        <circle cx={x} cy={y} r={RADIUS} />
      )}
      <text class="name" x={x} y={isNamed ? y + 1 : y + 5} text-anchor="middle">
        {label}
      </text>
      {isNamed && (
        <text class="alias" x={x} y={y + 14} text-anchor="middle">
          {name}
        </text>
      )}
      {sum !== null && (
        <text class="gradient sum" x={Math.max(x, (WIDTH_OF_LETTER * sum.length) / 2)} y={y + RADIUS + 20} text-anchor="middle">
          {sum}
        </text>
      )}
    </g>
  );
}
