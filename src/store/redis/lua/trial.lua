-- Does what the other scripts and the gateway do, on keys of its own, and leaves nothing.
-- KEYS  1 string  2 hash  3 list  4 set  5 sorted set  6 stream
-- Gives 'OK', or the first error that there was, with the command: some versions do not name it.
local bad
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err and not bad then bad = redis.error_reply(answer.err .. ' (' .. command .. ')') end
end
try('SET', KEYS[1], '1', 'PX', '10000')
try('INCR', KEYS[1])
try('INCRBY', KEYS[1], '2')
try('DECRBY', KEYS[1], '2')
try('GET', KEYS[1])
try('EXISTS', KEYS[1])
try('PEXPIRE', KEYS[1], '10000')
try('HSET', KEYS[2], 'a', '1')
try('HGET', KEYS[2], 'a')
try('HMGET', KEYS[2], 'a')
try('HINCRBY', KEYS[2], 'a', '1')
try('RPUSH', KEYS[3], 'a')
try('LTRIM', KEYS[3], '-1', '-1')
try('LRANGE', KEYS[3], '0', '-1')
try('SADD', KEYS[4], 'a', 'b')
try('SMEMBERS', KEYS[4])
try('SREM', KEYS[4], 'a')
try('SPOP', KEYS[4])
try('ZADD', KEYS[5], '1', 'a')
try('ZCARD', KEYS[5])
try('ZRANGE', KEYS[5], '0', '-1')
try('ZREM', KEYS[5], 'a')
try('XADD', KEYS[6], '1-0', 'f', 'x')
try('XRANGE', KEYS[6], '-', '+')
try('XREAD', 'COUNT', '1', 'STREAMS', KEYS[6], '0')
try('XLEN', KEYS[6])
try('XTRIM', KEYS[6], 'MINID', '1')
try('UNLINK', unpack(KEYS))
return bad or 'OK'
