import type { Client } from '../redis/connections'

/** What an operator should know of a Redis that is to keep executions. */
export async function warningsOf(client: Client): Promise<readonly string[]> {
  const info = await client.info()
  const valueOf = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
  const warnings = []
  const policy = valueOf('maxmemory_policy')
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(`Redis evicts keys (maxmemory-policy ${policy}): executions may be lost; set it to noeviction`)
  }
  if (valueOf('aof_enabled') === '0') {
    warnings.push('Redis appends nothing to a file (appendonly no): a restart loses what was accepted; set it to yes')
  }
  return warnings
}
