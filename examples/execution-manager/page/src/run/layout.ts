import { graphlib, layout } from '@dagrejs/dagre'
import { Type, type Static } from 'typebox'
import { Check } from 'typebox/value'

// dagre writes its results into labels of any type.
const Point = Type.Object({ x: Type.Number(), y: Type.Number() })
type Point = Static<typeof Point>
const Way = Type.Object({ points: Type.Array(Point) })

export interface Box {
  readonly name: string
  readonly x: number
  readonly y: number
}

export interface Arrow {
  readonly from: string
  readonly to: string
  /** The path of an SVG. */
  readonly path: string
}

export interface Drawing {
  readonly width: number
  readonly height: number
  readonly boxes: readonly Box[]
  readonly arrows: readonly Arrow[]
}

/** Wide enough for the longest state beside the longest time. */
export const BOX = { width: 168, height: 50 }

/** Where the steps of a plan are drawn, from left to right. */
export function drawingOf(steps: readonly { readonly name: string; readonly dependsOn: readonly string[] }[]): Drawing {
  const graph = new graphlib.Graph()
  graph.setGraph({ rankdir: 'LR', nodesep: 16, ranksep: 30, marginx: 16, marginy: 12 })
  for (const step of steps) graph.setNode(step.name, { ...BOX })
  for (const { name, dependsOn } of steps) for (const before of dependsOn) graph.setEdge(before, name, {})
  layout(graph)
  const size: unknown = graph.graph()
  const { width, height } = Check(Type.Object({ width: Type.Number(), height: Type.Number() }), size)
    ? size
    : { width: 0, height: 0 }
  // Of those side by side, dagre draws the last one at the top.
  const upright = ({ x, y }: Point): Point => ({ x, y: height - y })
  const middle = (name: string): Point => {
    const node: unknown = graph.node(name)
    return upright(Check(Point, node) ? node : { x: 0, y: 0 })
  }
  return {
    width,
    height,
    boxes: steps.map(({ name }) => {
      const { x, y } = middle(name)
      return { name, x: x - BOX.width / 2, y: y - BOX.height / 2 }
    }),
    arrows: graph.edges().map((edge) => {
      const way: unknown = graph.edge(edge)
      const points = Check(Way, way) ? way.points.map(upright) : []
      const from = middle(edge.v)
      const to = middle(edge.w)
      // From the middle of a side to the middle of a side. What lies between is the way around other boxes.
      const between = points.length > 3 ? points.slice(1, -1) : []
      const ends = [
        { x: from.x + BOX.width / 2, y: from.y },
        { x: to.x - BOX.width / 2 - 1, y: to.y },
      ] as const
      return { from: edge.v, to: edge.w, path: curve([ends[0], ...between, ends[1]]) }
    }),
  }
}

/** A line through points that leaves and arrives level. */
function curve(points: readonly Point[]): string {
  const [first, ...rest] = points
  if (!first) return ''
  let path = `M${at(first)}`
  let before = first
  for (const point of rest) {
    const half = (before.x + point.x) / 2
    path += `C${at({ x: half, y: before.y })} ${at({ x: half, y: point.y })} ${at(point)}`
    before = point
  }
  return path
}

const at = ({ x, y }: Point): string => `${x.toFixed(1)},${y.toFixed(1)}`
