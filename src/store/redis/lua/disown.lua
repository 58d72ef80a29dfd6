-- A node gives up what it holds, some sessions at a time: it was away for longer than its lease.
-- KEYS  1 the node's sessions  2 resting sessions
-- ARGV  1 node  2 how many
-- Gives how many there were: 0 at the end.
local ids = redis.call('SPOP', KEYS[1], ARGV[2])
for _, id in ipairs(ids) do
  local key = 'cws:s:' .. id
  local h = redis.call('HMGET', key, 'node', 'last_active_at')
  if h[1] == ARGV[1] then
    redis.call('HSET', key, 'node', '')
    redis.call('ZADD', KEYS[2], tonumber(h[2]), id)
  end
end
return #ids
