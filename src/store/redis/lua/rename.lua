-- Gives sessions that an older version wrote the names that they have now: OWNER/ID in the place of ID.
-- KEYS  1 all sessions  2 resting sessions
-- ARGV  1 the first to look at, by rank  2 how many  3 '1': rename; else only count
-- Gives {how many were looked at, how many living nodes have: these stay as they are, how many others there are}
local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)
local kept, others = 0, 0
local function move(set, old, new)
  local score = redis.call('ZSCORE', set, old)
  if score then
    redis.call('ZREM', set, old)
    redis.call('ZADD', set, score, new)
  end
end
for _, id in ipairs(ids) do
  local h = redis.call('HMGET', 'cws:s:' .. id, 'owner', 'epoch', 'node')
  if h[1] and h[1] ~= '' and not string.find(id, '/', 1, true) then
    local held = h[3] ~= '' and redis.call('EXISTS', 'cws:node:' .. h[3]) == 1
    if held then
      kept = kept + 1
    else
      others = others + 1
    end
    local new = h[1] .. '/' .. id
    -- What has the new name already is never overwritten.
    if ARGV[3] == '1' and not held and redis.call('EXISTS', 'cws:s:' .. new) == 0 then
      redis.call('RENAME', 'cws:s:' .. id, 'cws:s:' .. new)
      for _, kind in ipairs({'cws:e:', 'cws:m:'}) do
        local old = kind .. id .. ':' .. h[2]
        if redis.call('EXISTS', old) == 1 then redis.call('RENAME', old, kind .. new .. ':' .. h[2]) end
      end
      move(KEYS[1], id, new)
      move(KEYS[2], id, new)
      move('cws:of:' .. h[1], id, new)
      if h[3] ~= '' and redis.call('SREM', 'cws:own:' .. h[3], id) == 1 then
        redis.call('SADD', 'cws:own:' .. h[3], new)
      end
    end
  end
end
return {#ids, kept, others}
