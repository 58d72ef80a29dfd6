-- Gives a session to a node.
-- KEYS  1 session's hash  2 tombstone  3 all sessions  4 resting sessions  5 counter of sessions  6 the owner's sessions ('' none)
-- ARGV  1 node  2 the node that this one was before, or ''  3 '1': orphans may be taken  4 session id  5 epoch ('': make none)
--       6 owner  7 created_at  8 how far seqs jump after a crash
-- Gives {'absent'} {'foreign'} {'elsewhere', node} {'notyet'} {'made', fence}
-- {'mine', fence, was clean, epoch, first, last, next, owner, created_at, last_active_at, status, state}
local h = redis.call('HMGET', KEYS[1], 'node', 'fence', 'owner', 'clean', 'next', 'last')
if not h[2] then
  if ARGV[5] == '' then return {'absent'} end
  local fence = string.format('%.0f', tonumber(redis.call('GET', KEYS[2]) or '0') + 1)
  local number = redis.call('INCR', KEYS[5])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[5], 'owner', ARGV[6], 'created_at', ARGV[7], 'last_active_at', ARGV[7],
    'node', ARGV[1], 'fence', fence, 'batch', '0', 'clean', '0', 'first', '1', 'last', '0', 'next', '1', 'bytes', '0',
    'made', number)
  redis.call('ZADD', KEYS[3], number, ARGV[4])
  redis.call('ZADD', KEYS[6], number, ARGV[4])
  redis.call('SADD', 'cws:own:' .. ARGV[1], ARGV[4])
  return {'made', fence}
end
if ARGV[5] ~= '' and h[3] ~= ARGV[6] then return {'foreign'} end
local node = h[1]
if node ~= '' and node ~= ARGV[1] and node ~= ARGV[2] then
  if redis.call('EXISTS', 'cws:node:' .. node) == 1 then return {'elsewhere', node} end
  -- With this node's own lease all may be gone, though their nodes live.
  if ARGV[3] ~= '1' or redis.call('EXISTS', 'cws:node:' .. ARGV[1]) == 0 then return {'notyet'} end
end
local fence = string.format('%.0f', tonumber(h[2]) + 1)
local next = h[5]
if h[4] ~= '1' then
  next = string.format('%.0f', math.max(tonumber(next), tonumber(h[6]) + 1) + tonumber(ARGV[8]))
end
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'fence', fence, 'batch', '0', 'clean', '0', 'next', next)
if node ~= '' then redis.call('SREM', 'cws:own:' .. node, ARGV[4]) end
redis.call('SADD', 'cws:own:' .. ARGV[1], ARGV[4])
redis.call('ZREM', KEYS[4], ARGV[4])
local r = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'last', 'next', 'owner', 'created_at', 'last_active_at', 'status', 'state')
return {'mine', fence, h[4], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9]}
