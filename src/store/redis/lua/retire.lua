-- Takes a node off the list that is gone and has left nothing.
-- KEYS  1 nodes  2 the node's lease  3 its sessions
-- ARGV  1 node
-- Gives 1 if it was taken off.
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return 0 end
return redis.call('SREM', KEYS[1], ARGV[1])
