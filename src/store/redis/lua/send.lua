-- Puts a message into a node's inbox.
-- KEYS  1 the node's lease  2 its inbox    ARGV  1 message  2 how many may wait  3 how long they wait, ms
-- Gives 1, or 0 the node is gone, 2 too many wait.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[2]) then return 2 end
redis.call('XADD', KEYS[2], '*', 'm', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
