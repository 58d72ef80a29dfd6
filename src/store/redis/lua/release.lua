-- Gives a session up in order.
-- KEYS  1 session's hash  2 resting sessions
-- ARGV  1 node  2 fence  3 session id  4 next seq, or '': the end was in no order
-- Gives 1, or 0: it is not the node's any more.
local h = redis.call('HMGET', KEYS[1], 'node', 'fence', 'last', 'last_active_at', 'next')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return 0 end
if ARGV[4] == '' then
  redis.call('HSET', KEYS[1], 'node', '')
else
  local next = string.format('%.0f', math.max(tonumber(ARGV[4]), tonumber(h[3]) + 1, tonumber(h[5])))
  redis.call('HSET', KEYS[1], 'node', '', 'clean', '1', 'next', next)
end
redis.call('SREM', 'cws:own:' .. ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], tonumber(h[4]), ARGV[3])
return 1
