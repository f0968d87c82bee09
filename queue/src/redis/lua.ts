// The scripts that decide what becomes of an execution. Each is atomic, and may be sent again when its answer was lost.

/**
 * Writes the end of an execution, once. What follows it in a script gets `written`.
 *
 * The names of keys of others, which are forgotten to make room, are made from the base: they have its hash tag.
 */
const SETTLE = `
local function forget(base, id)
  local about = base .. ':x:' .. id
  local steps = redis.call('HGET', about, 'steps')
  if steps then
    for step in string.gmatch(steps, '[^,]+') do
      local key = base .. ':x:' .. step
      redis.call('UNLINK', key, key .. ':lines', key .. ':result', key .. ':readers')
      redis.call('ZREM', base .. ':index', step)
    end
  end
  redis.call('UNLINK', about, about .. ':lines', about .. ':result', about .. ':readers')
  redis.call('ZREM', base .. ':index', id)
  redis.call('ZREM', base .. ':finished', id)
end

local function settle(about, lines, result, base, id, run, json, status, durationMs, count)
  local keep = tonumber(redis.call('HGET', about, 'keep') or 3600)
  local most = tonumber(redis.call('HGET', about, 'most') or 10000)
  redis.call('SET', result, json, 'EX', keep)
  redis.call('HSET', about, 'status', status, 'durationMs', durationMs)
  redis.call('EXPIRE', about, keep)
  -- What a step of a plan prints is in the stream of that, its end included.
  if not redis.call('HGET', about, 'in') then
    redis.pcall('XADD', lines, run .. '-9007199254740991', 'end', '1', 'n', count)
    redis.call('EXPIRE', lines, math.min(keep, 300))
    redis.call('EXPIRE', about .. ':readers', 60)
  end
  if not redis.call('HGET', about, 'part') then
    local steps = redis.call('HGET', about, 'steps')
    if steps then
      for step in string.gmatch(steps, '[^,]+') do
        redis.call('EXPIRE', base .. ':x:' .. step, keep)
        redis.call('EXPIRE', base .. ':x:' .. step .. ':result', keep)
      end
    end
    local time = redis.call('TIME')
    local now = time[1] * 1000000 + time[2]
    redis.call('ZADD', base .. ':finished', string.format('%.0f', now), id)
    local over = redis.call('ZCARD', base .. ':finished') - most
    if over > 0 then
      for _, old in ipairs(redis.call('ZRANGE', base .. ':finished', 0, math.min(over, 100) - 1)) do forget(base, old) end
    end
    -- Whoever submitted these has died before they were accepted.
    for _, old in ipairs(redis.call('ZRANGE', base .. ':index', 0, 19)) do
      if redis.call('EXISTS', base .. ':x:' .. old) == 0 then redis.call('ZREM', base .. ':index', old) end
    end
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', base .. ':finished', '-inf', string.format('%.0f', now - keep * 1000000), 'LIMIT', 0, 100)) do
      forget(base, old)
    end
  end
  redis.call('PUBLISH', about .. ':bell', 'end')
end
`

/**
 * KEYS about result index labels; ARGV base, set of labels, channel of news; then of the execution or plan, and of each step of
 * the plan: its id, its digest, what the keys of jobs in its queue begin with (nothing: it has no job), how many words its
 * fields have, and those. Writes all, or nothing where an id is another's.
 * The bell of each that was not known rings, for who waits for it.
 * Answers with what is known of the first id: new | known | running | finished, and when it was submitted; or other, and which.
 */
export const SUBMIT = `
local all = {}
local at = 4
while at <= #ARGV do
  local words = tonumber(ARGV[at + 3])
  local about = ARGV[1] .. ':x:' .. ARGV[at]
  local one = {id = ARGV[at], about = about, digest = ARGV[at + 1], jobs = ARGV[at + 2], from = at + 4, to = at + 3 + words}
  local digest = redis.call('HGET', about, 'digest')
  if digest and digest ~= one.digest then return {'other', one.id} end
  if redis.call('EXISTS', about .. ':result') == 1 then one.state = 'finished'
  elseif not digest then one.state = 'new'
  elseif redis.call('HEXISTS', about, 'run') == 1 then one.state = 'running'
  else one.state = 'known' end
  all[#all + 1] = one
  -- The steps of a plan that has ended are not looked at.
  if all[1].state == 'finished' then break end
  at = one.to + 1
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, one in ipairs(all) do
  if one.state == 'new' then
    redis.call('HSET', one.about, 'digest', one.digest, 'status', 'pending', 'submittedAt', now, unpack(ARGV, one.from, one.to))
    redis.call('EXPIRE', one.about, 3600)
    redis.call('ZADD', KEYS[3], string.format('%.0f', time[1] * 1000000 + time[2]), one.id)
    redis.call('PUBLISH', one.about .. ':bell', 'known')
  end
  if one.jobs ~= '' and (one.state == 'new' or one.state == 'known') then
    -- BullMQ adds no job beside that of an earlier submission, which it may keep for longer than the result was kept.
    local completed = redis.call('ZREM', one.jobs .. 'completed', one.id)
    local job = one.jobs .. one.id
    if completed + redis.call('ZREM', one.jobs .. 'failed', one.id) > 0 then redis.call('UNLINK', job, job .. ':logs') end
  end
end
if ARGV[2] ~= '' and redis.call('SADD', KEYS[4], ARGV[2]) == 1 then redis.call('PUBLISH', ARGV[3], 'labels') end
return {all[1].state, tonumber(redis.call('HGET', KEYS[1], 'submittedAt') or 0)}
`

/** KEYS about, result, and so on in pairs: accepted, so they do not run out by themselves before they have ended. */
export const ACCEPT = `
for i = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i + 1]) == 0 then redis.call('PERSIST', KEYS[i]) end
end
return 1
`

/**
 * KEYS about result; ARGV token, and for how long who drives a plan is present in milliseconds, if no worker does.
 * Answers: unknown | finished, result | run, number, count of lines, submittedAt, now, cancel, loss | lost, the same.
 * The number of a run is given once.
 */
export const CLAIM = `
local result = redis.call('GET', KEYS[2])
if result then return {'finished', result} end
local known = redis.call('HMGET', KEYS[1], 'digest', 'run', 'owner', 'n', 'submittedAt', 'cancel', 'loss', 'lost')
if not known[1] then return {'unknown'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local run = tonumber(known[2] or '0')
local lost = known[8] == '1' and 1 or 0
if known[3] ~= ARGV[1] then
  -- What was given back was not lost by that.
  if known[3] ~= '' then lost = run > 0 and 1 or 0 end
  run = run + 1
  redis.call('HSET', KEYS[1], 'run', run, 'owner', ARGV[1], 'lost', lost)
  redis.call('PERSIST', KEYS[1])
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'till', now + ARGV[2]) end
return {lost == 1 and 'lost' or 'run', run, tonumber(known[4] or '0'), tonumber(known[5] or '0'), now, known[6] or '', known[7] or 'fail'}
`

/** KEYS about; ARGV token, for how long in milliseconds. Who drives a plan is there. Answers 0 if somebody else drives it. */
export const PRESENT = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'till', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2])
return 1
`

/** KEYS about; ARGV token. Gives a claim back of which nothing has come. */
export const UNCLAIM = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '')
return 1
`

/**
 * KEYS about lines; ARGV run, sequence, least sequence that is kept, lines so far, startedAt, command, how many steps are
 * marked, for each what is known of it and how far it was told, then the fields of the entry. Answers 1, or 0 if the run is no longer the caller's.
 */
export const APPEND = `
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] or redis.call('EXISTS', KEYS[1] .. ':result') == 1 then return 0 end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'n', ARGV[4], 'status', 'running', 'startedAt', ARGV[5], 'command', ARGV[6])
else
  redis.call('HSET', KEYS[1], 'n', ARGV[4])
end
local added = redis.pcall('XADD', KEYS[2], ARGV[1] .. '-' .. ARGV[2], unpack(ARGV, 8 + 2 * ARGV[7]))
if type(added) == 'table' and added.err then
  -- It was sent before, and only the answer was lost.
  if string.find(added.err, 'equal or smaller', 1, true) then return 1 end
  return added
end
for i = 8, 6 + 2 * ARGV[7], 2 do
  if redis.call('EXISTS', ARGV[i]) == 1 then redis.call('HSET', ARGV[i], 'told', ARGV[i + 1]) end
end
if ARGV[3] ~= '' then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[3]) end
redis.call('PUBLISH', KEYS[1] .. ':bell', ARGV[1] .. '-' .. ARGV[2])
return 1
`

/** KEYS of the owner, then in pairs about and result of the steps of a plan; ARGV run. They are run again, with the plan. */
export const RESET = `
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
for i = 2, #KEYS, 2 do
  redis.call('UNLINK', KEYS[i + 1])
  redis.call('HSET', KEYS[i], 'status', 'pending')
  redis.call('HDEL', KEYS[i], 'startedAt', 'durationMs', 'told')
end
return 1
`

/** KEYS about; ARGV startedAt, command. A step of a plan has started. */
export const STARTED = `
if redis.call('EXISTS', KEYS[1] .. ':result') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'status', 'running', 'startedAt', ARGV[1], 'command', ARGV[2])
return 1
`

/**
 * KEYS about lines result owner; ARGV base, id, run, result, status, durationMs, count of lines. The owner is the execution
 * itself, or the plan that it is run with.
 * Answers: settled | known, result | lost.
 */
export const SETTLED = `${SETTLE}
local known = redis.call('GET', KEYS[3])
if known then return {'known', known} end
if redis.call('HGET', KEYS[4], 'run') ~= ARGV[3] then return {'lost'} end
settle(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return {'settled'}
`

/**
 * KEYS about lines result; ARGV base, id, reason, result if nobody has claimed it, its status, then pairs of a step of the plan and
 * its result. Answers: finished | unknown | settled | asked | driven, if a submitter drives it |
 * left, if that is there no more.
 */
export const CANCEL = `${SETTLE}
if redis.call('EXISTS', KEYS[3]) == 1 then return 'finished' end
local known = redis.call('HMGET', KEYS[1], 'digest', 'run', 'in', 'owner', 'n', 'till')
if not known[1] then return 'unknown' end
if (not known[4] or known[4] == '') and not known[3] then
  local ends = {}
  local function tell(number)
    if #ends == 0 then return end
    -- Behind what may be there, and before the end of the plan.
    local entry = (known[2] or '1') .. '-' .. string.format('%.0f', 9007199254000000 + number)
    redis.pcall('XADD', KEYS[2], entry, 'n', known[5] or '0', unpack(ends))
    ends = {}
  end
  for i = 6, #ARGV, 2 do
    local step = ARGV[1] .. ':x:' .. ARGV[i]
    for _, word in ipairs({'x', ARGV[i], 'end', '1'}) do ends[#ends + 1] = word end
    if #ends >= 2000 then tell(i) end
    settle(step, step .. ':lines', step .. ':result', ARGV[1], ARGV[i], '1', ARGV[i + 1], ARGV[5], '0', 0)
  end
  tell(#ARGV)
  settle(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], known[2] or '1', ARGV[4], ARGV[5], '0', known[5] or '0')
  return 'settled'
end
redis.call('HSETNX', KEYS[1], 'cancel', ARGV[3])
local owner = known[3] and (ARGV[1] .. ':x:' .. known[3]) or KEYS[1]
redis.call('HINCRBY', owner, 'asks', 1)
redis.call('PUBLISH', owner .. ':ctl', 'cancel ' .. ARGV[2])
if not known[6] then return 'asked' end
local time = redis.call('TIME')
return tonumber(known[6]) < time[1] * 1000 + time[2] / 1000 and 'left' or 'driven'
`

/**
 * KEYS readers lines; ARGV reader, entry that was taken, for how long it is present in milliseconds, channel to the worker.
 * Answers the last entry that there is.
 */
export const ACK = `
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '|' .. (now + ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
end
redis.call('PUBLISH', ARGV[4], 'ack')
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return last[1] and last[1][1] or ''
`

/** KEYS readers. Answers the milliseconds until the first of those present is not, and what each has taken. */
export const WINDOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rows = redis.call('HGETALL', KEYS[1])
local found = {-1}
for i = 1, #rows, 2 do
  local entry, till = string.match(rows[i + 1], '^(.*)|(%d+)$')
  local left = tonumber(till) - now
  if left <= 0 then
    redis.call('HDEL', KEYS[1], rows[i])
  else
    if found[1] < 0 or left < found[1] then found[1] = left end
    found[#found + 1] = entry
  end
end
return found
`
