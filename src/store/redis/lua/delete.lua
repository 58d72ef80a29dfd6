-- Deletes a session.
-- KEYS  1 session's hash  2 stream  3 message ids  4 tombstone  5 all sessions  6 resting sessions  7 total of bytes
-- ARGV  1 node  2 fence of that node's tenure, or '': only a session that no living node has  3 session id  4 epoch
--       5 how long the tombstone stands, ms  6 '1': orphans may be taken
-- Gives 1 deleted, 0 there is none of that epoch, 3 refused: a node has it.
local h = redis.call('HMGET', KEYS[1], 'epoch', 'node', 'fence', 'owner', 'bytes')
if h[1] ~= ARGV[4] then return 0 end
if ARGV[2] ~= '' then
  if h[2] ~= ARGV[1] or h[3] ~= ARGV[2] then return 3 end
elseif h[2] ~= '' and (ARGV[6] ~= '1' or redis.call('EXISTS', 'cws:node:' .. ARGV[1]) == 0
    or redis.call('EXISTS', 'cws:node:' .. h[2]) == 1) then
  return 3
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[5], ARGV[3])
redis.call('ZREM', KEYS[6], ARGV[3])
redis.call('ZREM', 'cws:of:' .. h[4], ARGV[3])
if h[2] ~= '' then redis.call('SREM', 'cws:own:' .. h[2], ARGV[3]) end
redis.call('DECRBY', KEYS[7], h[5])
redis.call('SET', KEYS[4], h[3], 'PX', ARGV[5])
return 1
