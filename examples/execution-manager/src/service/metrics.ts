// What happens, counted for Prometheus.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Step } from '../api.js'
import type { Observer } from '../runs/runs.js'

export class Metrics implements Observer {
  readonly #registry = new Registry()
  readonly #started = new Counter({
    name: 'manager_runs_started_total',
    help: 'Runs that were started.',
    labelNames: ['playbook'],
    registers: [this.#registry],
  })
  readonly #ended = new Counter({
    name: 'manager_runs_total',
    help: 'Runs that have ended, by how they ended.',
    labelNames: ['playbook', 'status'],
    registers: [this.#registry],
  })
  readonly #running = new Gauge({
    name: 'manager_runs_running',
    help: 'Runs that wait or run now.',
    registers: [this.#registry],
  })
  readonly #steps = new Histogram({
    name: 'manager_step_duration_seconds',
    help: 'How long steps took, from the start of the process to its end, by how they ended.',
    labelNames: ['playbook', 'step', 'status'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600],
    registers: [this.#registry],
  })
  readonly #lines = new Counter({
    name: 'manager_lines_total',
    help: 'Lines that commands have printed.',
    labelNames: ['stream'],
    registers: [this.#registry],
  })

  constructor() {
    // The delay of the event loop is among these.
    collectDefaultMetrics({ register: this.#registry })
  }

  runStarted(playbook: string): void {
    this.#started.inc({ playbook })
    this.#running.inc()
  }

  runEnded(playbook: string, status: string): void {
    this.#ended.inc({ playbook, status })
    this.#running.dec()
  }

  stepEnded(playbook: string, { name, status, durationMs }: Step): void {
    this.#steps.observe({ playbook, step: name, status }, (durationMs ?? 0) / 1000)
  }

  line(stream: 'stdout' | 'stderr'): void {
    this.#lines.inc({ stream })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}
