--- Several machines on one: network namespaces, each with an interface `e0` and an address of its own, joined by a
-- bridge in one more namespace. Needs root, and Debian's iproute2 and nftables.
local process = require "support.process"

local network = {}
local methods = {}
local class = { __index = methods }

local made = 0 -- networks of this process

local function run(command, ...)
  command = select("#", ...) > 0 and command:format(...) or command
  local output, code = process.run(command, { seconds = 20 })
  if code ~= 0 then error(("%s\nended with %s: %s"):format(command, tostring(code), output), 2) end
  return output
end

-- What a spec that was killed has left behind: its names hold its process id.
local function sweep()
  local names = process.run "ip netns list"
  for name, id in names:gmatch "(epact(%d+)[%w-]+)" do
    process.run(("test -d /proc/%s || { ip netns delete %s; rm -rf /etc/netns/%s; }"):format(id, name, name))
  end
end

local function own_id()
  return assert(io.open "/proc/self/stat"):read "*n"
end

--- Makes `count` machines.
-- @tparam number count
-- @treturn table with `count`, `name[i]` (namespace) and `address[i]` for i from 0
function network.add(count)
  sweep()
  made = made + 1
  local self = setmetatable({ count = count, name = {}, address = {},
    switch = ("epact%s-%d-switch"):format(own_id(), made) }, class)
  local lines = { "set -e", (("ip netns add SWITCH; ip -n SWITCH link add bridge type bridge; "
    .. "ip -n SWITCH link set bridge up"):gsub("SWITCH", self.switch)) }
  for i = 0, count - 1 do
    local name = ("epact%s-%d-%d"):format(own_id(), made, i)
    self.name[i], self.address[i] = name, ("10.79.%d.%d"):format(made % 250, i + 1)
    lines[#lines + 1] = (([[
      ip netns add NAME
      ip link add e0 netns NAME type veth peer name port%d netns SWITCH
      ip -n SWITCH link set port%d master bridge up
      ip -n NAME address add %s/24 dev e0
      ip -n NAME link set lo up
      ip -n NAME link set e0 up]]):format(i, i, self.address[i]):gsub("NAME", name):gsub("SWITCH", self.switch))
  end
  local ok, message = pcall(run, "%s", table.concat(lines, "\n"))
  if ok then return self end
  self:remove()
  error("network namespaces cannot be made here (they need root and iproute2): " .. message, 2)
end

--- Makes `count` machines for `body(network)`; they are removed however it ends.
function network.with(count, body)
  local self = network.add(count)
  local ok, message = xpcall(body, function(message)
    return type(message) == "string" and debug.traceback(message, 2) or message
  end, self)
  self:remove()
  if not ok then error(message, 0) end
end

--- Removes the machines; what runs there loses its network.
function methods:remove()
  local names = { self.switch }
  for i = 0, self.count - 1 do names[#names + 1] = self.name[i] end
  for _, name in ipairs(names) do
    if name then process.run(("ip netns delete %s; rm -rf /etc/netns/%s"):format(name, name)) end
  end
end

--- The words before a command that is to run on machine `i`.
-- @tparam number i
-- @tparam[opt=""] string environment `NAME=value ...`
function methods:on(i, environment)
  return ("ip netns exec %s env %s"):format(self.name[i], environment or "")
end

--- The words for each machine, as `jobs.run` takes them.
-- @tparam[opt=""] string environment
function methods:prefixes(environment)
  local prefixes = {}
  for i = 0, self.count - 1 do prefixes[i] = self:on(i, environment) end
  return prefixes
end

--- Runs a command on machine `i` and returns its output; one that fails is an error.
function methods:run(i, command)
  return run("%s %s", self:on(i), command)
end

--- The names of hosts on machine `i`: the text of its /etc/hosts.
function methods:hosts(i, text)
  local folder = "/etc/netns/" .. self.name[i]
  run("mkdir -p %s", folder)
  local file = assert(io.open(folder .. "/hosts", "w"))
  file:write(text, "\n")
  file:close()
end

--- Machine `i` hears nothing any more (`"in"`), is not heard (`"out"`), or both (default). Packets are lost without a
-- word, as on a cut cable.
function methods:partition(i, direction)
  run("%s", self:partition_command(i, direction))
end

local hears = "add chain inet cut input { type filter hook input priority 0; }; add rule inet cut input %s drop"

-- The shell command that sets rules of nft on machine `i`, until it is healed.
local function cut_command(self, i, rules)
  return ("ip netns exec %s nft %s"):format(self.name[i], process.quote("add table inet cut; " .. rules))
end

--- The shell command for it.
function methods:partition_command(i, direction)
  local rules = {}
  for hook, side in pairs { input = "in", output = "out" } do
    if not direction or direction == side then
      rules[#rules + 1] = ("add chain inet cut %s { type filter hook %s priority 0; policy drop; }"):format(hook, hook)
    end
  end
  return cut_command(self, i, table.concat(rules, "; "))
end

--- The shell command after which machine `i` loses what comes from `address` to its `port`, until it is healed.
function methods:lose_command(i, address, port)
  return cut_command(self, i, hears:format(("ip saddr %s tcp dport %d"):format(address, port)))
end

--- Ends a partition of machine `i`.
function methods:heal(i)
  run("%s", self:heal_command(i))
end

--- The shell command for it.
function methods:heal_command(i)
  return ("ip netns exec %s nft delete table inet cut"):format(self.name[i])
end

-- The kernel's longest wait on machine `i` before a lost segment is sent anew.
function methods:patience(i, seconds)
  process.run(("%s tee /proc/sys/net/ipv4/tcp_rto_max_ms <<<%d >/dev/null 2>&1"):format(self:on(i), 1000 * seconds))
end

--- What machine `i` sends is delayed by 5 to 15 ms and a tenth of it is lost, where the kernel has netem; else a tenth
-- of what it hears is lost. The kernel's wait before it sends a lost segment anew doubles each time, to minutes: by
-- chance, longer than the limit of any spec; it is kept to a second where the kernel (6.15) lets us.
-- @treturn string "netem" or "loss"
function methods:disturb(i)
  self:patience(i, 1)
  local _, code = process.run(("%s tc qdisc add dev e0 root netem delay 10ms 5ms loss 10%%"):format(self:on(i)))
  if code == 0 then return "netem" end
  run("%s", cut_command(self, i, hears:format "iif e0 numgen random mod 100 < 10"))
  return "loss"
end

--- Ends it.
function methods:calm(i)
  self:patience(i, 120)
  process.run(("%s tc qdisc del dev e0 root; %s nft delete table inet cut"):format(self:on(i), self:on(i)))
end

--- Records what goes over machine `i`'s interface while `body()` runs.
-- @treturn string all packets, one after another
function methods:captured(i, body)
  local folder = os.tmpname()
  os.remove(folder)
  run("mkdir %s; mkfifo %s/ready", folder, folder)
  local recorder = io.popen(("%s luajit spec/support/capture.lua e0 %s/ready %s/stop %s/packets 2>&1"):format(
    self:on(i), folder, folder, folder))
  assert(io.open(folder .. "/ready")):read "*l" -- it listens
  local ok, message = pcall(body)
  assert(io.open(folder .. "/stop", "w")):close()
  local said = recorder:read "*a"
  recorder:close()
  local file = io.open(folder .. "/packets", "rb")
  local packets = file and file:read "*a"
  if file then file:close() end
  run("rm -r %s", folder)
  if not ok then error(message, 0) end
  return assert(packets, "nothing was captured: " .. said)
end

return network
