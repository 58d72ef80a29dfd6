-- The events after a seq, up to about so many bytes.
-- KEYS  1 stream    ARGV  1 seq  2 bytes
-- Gives {seq, frame, lost_through or '', seq, …}
local out, bytes, after, count = {}, 0, ARGV[1], 4
while bytes < tonumber(ARGV[2]) do
  local some = redis.call('XRANGE', KEYS[1], '(' .. after .. '-0', '+', 'COUNT', count)
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    after = string.match(entry[1], '^%d+')
    out[#out + 1] = after
    out[#out + 1] = entry[2][2]
    out[#out + 1] = entry[2][4] or ''
    bytes = bytes + #entry[2][2]
    if bytes >= tonumber(ARGV[2]) then break end
  end
  if count < 64 then count = count * 2 end
end
return out
