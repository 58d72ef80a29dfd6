-- Appends one batch of one session, whole or not at all.
-- KEYS  1 session's hash  2 stream  3 message ids  4 tombstone  5 total of bytes
-- ARGV  1 node  2 fence  3 number of the batch  4 its bytes, or '': nothing is to be written, only to be looked whether all is there
--       5 session id  6 '1' with a record, then 7 owner 8 created_at 9 last_active_at 10 status 11 state
--       12 how many ids, then so many ids; then lost_through or ''; then seq, frame, seq, frame …
-- Gives {code, number of the last batch, last seq}; code: 0 the session is not there, 1 written (also if it was before),
-- 2 an earlier batch is missing, 3 refused.
local h = redis.call('HMGET', KEYS[1], 'node', 'fence', 'batch', 'last')
if not h[2] then
  local deleted = tonumber(redis.call('GET', KEYS[4]) or '-1')
  return {deleted >= tonumber(ARGV[2]) and 3 or 0, '0', '0'}
end
if tonumber(h[2]) < tonumber(ARGV[2]) then
  -- Redis has lost the claim itself, with all that was written under it. Nobody else has taken the session: it is the node's.
  if h[1] ~= '' and h[1] ~= ARGV[1] then
    if redis.call('EXISTS', 'cws:node:' .. h[1]) == 1 then return {3, '0', '0'} end
    redis.call('SREM', 'cws:own:' .. h[1], ARGV[5])
  end
  redis.call('HSET', KEYS[1], 'node', ARGV[1], 'fence', ARGV[2], 'batch', '0', 'clean', '0')
  redis.call('SADD', 'cws:own:' .. ARGV[1], ARGV[5])
  redis.call('ZREM', 'cws:rest', ARGV[5])
  return {2, '0', h[4]}
end
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return {3, '0', '0'} end
local number, last = tonumber(ARGV[3]), tonumber(h[4])
if tonumber(h[3]) >= number then return {1, h[3], h[4]} end
if tonumber(h[3]) < number - 1 then return {2, h[3], h[4]} end
if ARGV[4] == '' then return {1, h[3], h[4]} end
local set = {'batch', ARGV[3]}
if ARGV[6] == '1' then
  for i, name in ipairs({'owner', 'created_at', 'last_active_at', 'status', 'state'}) do
    set[#set + 1] = name
    set[#set + 1] = ARGV[6 + i]
  end
end
local ids = tonumber(ARGV[12])
for i = 13, 12 + ids do redis.call('RPUSH', KEYS[3], ARGV[i]) end
if ids > 0 then redis.call('LTRIM', KEYS[3], -65536, -1) end
local lost = ARGV[13 + ids]
local newest = h[4]
for i = 14 + ids, #ARGV, 2 do
  local seq = ARGV[i]
  if tonumber(seq) > last then
    if lost ~= '' then
      redis.call('XADD', KEYS[2], seq .. '-0', 'f', ARGV[i + 1], 'l', lost)
      lost = ''
    else
      redis.call('XADD', KEYS[2], seq .. '-0', 'f', ARGV[i + 1])
    end
    if newest == '0' then
      set[#set + 1] = 'first'
      set[#set + 1] = seq
    end
    newest = seq
  end
end
if newest ~= h[4] then
  set[#set + 1] = 'last'
  set[#set + 1] = newest
end
redis.call('HSET', KEYS[1], unpack(set))
redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[4])
redis.call('INCRBY', KEYS[5], ARGV[4])
return {1, ARGV[3], newest}
