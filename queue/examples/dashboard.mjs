// Bull Board shows the executions of a queue, and bullmq-otel traces them: `node dashboard.mjs redis://127.0.0.1:6379`.
//
// Needed besides: @bull-board/api @bull-board/express bullmq-otel @opentelemetry/api @opentelemetry/sdk-trace-base. The
// worker here is one like any other; those that run already need only the same `telemetry`.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { ExecutionWorker, QueueEngine } from '@escher-dbai/execution-queue'
import { Queue } from 'bullmq'
import { BullMQOtel } from 'bullmq-otel'

// The spans stay here, to be printed; a collector has an exporter of its own.
const spans = new InMemorySpanExporter()
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
const telemetry = new BullMQOtel({ tracerName: 'commands' })

const { hostname: host, port } = new URL(process.argv[2] ?? 'redis://127.0.0.1:6379')
const connection = { host, port: Number(port) }
const queue = new QueueEngine({ connection, telemetry })
const worker = new ExecutionWorker({ connection, telemetry })

// One queue of BullMQ for each set of labels; this is the one of requests without any.
const jobs = new Queue(queue.queueName(), { connection, prefix: queue.keyPrefix })
const serverAdapter = new ExpressAdapter()
createBullBoard({ queues: [new BullMQAdapter(jobs, { readOnlyMode: true })], serverAdapter })
const web = createServer(serverAdapter.getRouter()).listen(0, '127.0.0.1')
await once(web, 'listening')

const result = await queue.run({ command: { type: 'shell', command: 'echo shown' }, metadata: { source: 'example' } })
const failed = await queue.run({ command: { type: 'shell', command: 'echo why >&2; exit 3' } })
console.log(result.status, failed.status)

const address = web.address()
const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
console.log(`the dashboard is at ${url}`)
const shown = await fetch(`${url}/api/queues?activeQueue=${encodeURIComponent(jobs.name)}&status=completed&page=1`)
const { queues } = /** @type {{ queues: { name: string, counts: Record<string, number> }[] }} */ (await shown.json())
for (const { name, counts } of queues)
  console.log(`${name}: ${counts['completed']} completed, ${counts['failed']} failed`)

if (!process.argv.includes('--stay')) {
  web.close()
  web.closeAllConnections()
  await queue.shutdown()
  await worker.close()
  await jobs.close()
}
for (const { name } of spans.getFinishedSpans()) console.log(`span: ${name}`)
