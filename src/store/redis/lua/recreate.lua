-- Puts a session back that Redis has lost although its node lives.
-- KEYS  1 session's hash  2 tombstone  3 all sessions  4 counter of sessions  5 the owner's sessions  6 stream  7 message ids
-- ARGV  1 node  2 fence  3 session id  4 epoch  5 owner  6 created_at  7 next seq
-- Gives 1, or 0: it is there, or was deleted.
if redis.call('EXISTS', KEYS[1]) > 0 then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or '-1') >= tonumber(ARGV[2]) then return 0 end
-- What may be left of it without the hash is of no use.
redis.call('UNLINK', KEYS[6], KEYS[7])
local number = redis.call('INCR', KEYS[4])
redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'owner', ARGV[5], 'created_at', ARGV[6], 'last_active_at', ARGV[6],
  'node', ARGV[1], 'fence', ARGV[2], 'batch', '0', 'clean', '0', 'first', '1', 'last', '0', 'next', ARGV[7], 'bytes', '0',
  'made', number)
redis.call('ZADD', KEYS[3], number, ARGV[3])
redis.call('ZADD', KEYS[5], number, ARGV[3])
redis.call('SADD', 'cws:own:' .. ARGV[1], ARGV[3])
return 1
