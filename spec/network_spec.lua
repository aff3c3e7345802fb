--- Jobs over several machines: addresses, keys, and what somebody on the wire sees.
local core = require "epact.core"
local jobs = require "support.jobs"
local network = require "support.network"

-- Every worker adds a marker of 32 bytes to each row; the sum is 3 + 5 for each process.
local script = [[
  local epact = require "epact"
  local sum = epact.run({ workers = 1, timeout = %s, lease = 15 }, function(w)
    local ffi = require "ffi"
    local t = w:table("t", { rows = 40, cols = 5 })
    local marker = ffi.new("double[5]")
    ffi.copy(marker, "the marker that nobody shall see", 32)
    marker[4] = 3 + 2 * w.id
    for row = 0, 39 do t:inc_row(row, marker) end
    w:barrier()
    local total = 0
    for row = 0, 39 do total = total + t:get(row)[4] end
    return total
  end)
  print(sum)
]]
local marker = "the marker that nobody shall see"

local function run(net, root, environment, timeout)
  return jobs.run(script:format(timeout or 20), { processes = net.count, root = root,
    prefix = type(environment) == "table" and environment or net:prefixes(environment) })
end

local function assert_sum(results, count, errors)
  local sum = 0
  for rank = 0, count - 1 do sum = sum + 40 * (3 + 2 * rank) end
  for rank = 0, count - 1 do
    assert.matches(errors or "^$", results[rank].errors)
    assert.equal(0, results[rank].code)
    assert.equal(sum .. "\n", results[rank].output)
  end
end

local function assert_sum_is(results, sum)
  for rank = 0, 2 do
    assert.equal("", results[rank].errors)
    assert.equal(sum, results[rank].output)
  end
end

describe("a job on three machines", function()
  local net, keys

  setup(function()
    net = network.add(3)
    keys = os.tmpname()
    os.remove(keys)
    require("epact.keys").create(keys)
  end)

  teardown(function()
    if net then net:remove() end
    if keys then os.execute("rm -r " .. keys) end
  end)

  it("with keys ends with the right sum, and its rows are not on the wire", function()
    local results
    local packets = net:captured(0, function()
      results = run(net, ("tcp://%s:5555"):format(net.address[0]), "EPACT_KEYS=" .. keys)
    end)
    assert_sum(results, 3)
    assert.is_nil(packets:find(marker, 1, true))
    assert.is_truthy(packets:find("CURVE", 1, true)) -- the greeting: these are our packets
  end)

  it("without keys too when that is wanted, with a warning, and everybody can read along", function()
    local results
    local packets = net:captured(0, function()
      results = run(net, net.address[0] .. ":5556", "EPACT_INSECURE=1") -- host:port is tcp
    end)
    assert_sum(results, 3, "^epact: warning: rank %d works without keys at tcp://[%d.:]+: [^\n]+\n$")
    assert.is_truthy(packets:find(marker, 1, true))
  end)

  it("without keys is refused, with the ways out", function()
    local results = run(net, ("tcp://%s:5557"):format(net.address[0]), "")
    for rank = 0, 2 do
      assert.equal(1, results[rank].code)
      for _, way in ipairs { "epact keygen DIR", "EPACT_KEYS=DIR", "tcp://127.0.0.1:PORT", "EPACT_INSECURE=1",
        "[E_AUTH]" } do
        assert.is_truthy(results[rank].errors:find(way, 1, true), results[rank].errors)
      end
    end
  end)

  it("finds the root by its name, also where its own hosts file leads to the loopback", function()
    net:hosts(0, "127.0.0.1 localhost\n127.0.1.1 node0")
    net:hosts(1, "127.0.0.1 localhost\n" .. net.address[0] .. " node0")
    net:hosts(2, "127.0.0.1 localhost\n" .. net.address[0] .. " node0")
    assert_sum(run(net, "node0:5558", "EPACT_KEYS=" .. keys), 3)
  end)

  it("says when the root is not where rank 0 is, and when a name leads nowhere", function()
    local results = run(net, ("tcp://%s:5559"):format(net.address[1]), "EPACT_KEYS=" .. keys, 0.5)
    assert.matches("10%.79%.%d+%.2:5559.- is no address of this machine: rank 0 must run where", results[0].errors)
    assert.matches("rank 2 waited 0.5 s for rank 0 at tcp://10%.79", results[2].errors)
    results = run(net, "nowhere.invalid:5559", "EPACT_KEYS=" .. keys, 0.5)
    for rank = 0, 2 do assert.matches("cannot find the address of nowhere%.invalid: ", results[rank].errors) end
  end)

  it("works over IPv6", function()
    for i = 0, 2 do net:run(i, ("ip address add fd79::%d/64 dev e0 nodad"):format(i + 1)) end
    assert_sum(run(net, "tcp://[fd79::1]:5563", "EPACT_KEYS=" .. keys), 3)
  end)

  it("binds the address it is told, and only that", function()
    net:run(1, "ip address add 10.80.0.9/32 dev e0")
    net:run(0, "ip route add 10.80.0.9 dev e0")
    net:run(2, "ip route add 10.80.0.9 dev e0")
    local prefixes = net:prefixes("EPACT_KEYS=" .. keys)
    prefixes[1] = net:on(1, "EPACT_ADDRESS=10.80.0.9:6001 EPACT_KEYS=" .. keys)
    local results
    local packets = net:captured(1, function()
      results = run(net, ("tcp://%s:5560"):format(net.address[0]), prefixes)
    end)
    assert_sum(results, 3)
    assert.is_truthy(packets:find("\10\80\0\9", 1, true)) -- an address of a packet
    prefixes[1] = net:on(1, "EPACT_ADDRESS=10.80.0.10 EPACT_KEYS=" .. keys)
    results = run(net, ("tcp://%s:5560"):format(net.address[0]), prefixes, 0.5)
    assert.matches("tcp://10%.80%.0%.10:%* is no address of this machine %(EPACT_ADDRESS%)", results[1].errors)
  end)

  it("refuses a machine without its key at once, and says so on both sides", function()
    local others = os.tmpname()
    os.remove(others)
    require("epact.keys").create(others)
    local prefixes = net:prefixes("EPACT_KEYS=" .. keys)
    prefixes[2] = net:on(2, "EPACT_KEYS=" .. others)
    local begin = core.C.epact_now()
    local results = run(net, ("tcp://%s:5561"):format(net.address[0]), prefixes, 2.5)
    os.execute("rm -r " .. others)
    assert.matches("rank 0 at tcp://.- breaks off the handshake: it has another key .-%[E_AUTH%]", results[2].errors)
    assert.matches("rank 0 refused a connection: its handshake does not fit this process's key", results[0].errors)
    assert.matches("for rank 2 to register %(connections without the right key were refused%) %[E_TIMEOUT%]",
      results[0].errors)
    if jobs.timed then assert.is_true(core.C.epact_now() - begin < 6) end
  end)

  -- All have done 20 clocks when machine 2 is cut off; nobody gets far before it is back.
  local function cut_off(seconds, lease)
    return jobs.run(([[
      local epact = require "epact"
      print((epact.run({ workers = 1, timeout = 20, lease = %s }, function(w)
        local jobs = require "support.jobs"
        local t = w:table("t", { rows = 3, cols = 1 })
        for clock = 1, 40 do
          t:inc(w.id, 0, 1)
          w:clock()
          if clock == 20 then jobs.ready() end
          if clock == 22 then jobs.await() end
          for row = 0, 2 do t:get(row) end
        end
        w:barrier()
        return t:get(0)[0] + t:get(1)[0] + t:get(2)[0]
      end)))]]):format(lease), { processes = 3, root = ("tcp://%s:5562"):format(net.address[0]), ready = 3,
      prefix = net:prefixes("EPACT_KEYS=" .. keys),
      beside = ("%s; sleep %s; %s"):format(net:partition_command(2), seconds, net:heal_command(2)) })
  end

  -- A segment that is lost n times waits 0.2 * 2^n s, here at most a second each time: the job takes 2 to 17 s.
  it("is slower over lines that lose packets, but right", function()
    for i = 0, 2 do net:disturb(i) end
    local ok, message = pcall(function()
      local results = jobs.run([[
        local epact = require "epact"
        print((epact.run({ workers = 1, timeout = 60, lease = 60, staleness = 1 }, function(w)
          local t = w:table("t", { rows = 6, cols = 1000, push = true })
          for clock = 1, 10 do
            for row = 0, 5 do t:inc(row, clock, 1) t:get(row) end
            w:clock()
          end
          w:barrier()
          local sum = 0
          for row = 0, 5 do for clock = 1, 10 do sum = sum + t:get(row)[clock] end end
          return sum
        end)))]], { processes = 3, seconds = 70, root = ("tcp://%s:5563"):format(net.address[0]),
        prefix = net:prefixes("EPACT_KEYS=" .. keys) })
      assert_sum_is(results, "180\n")
    end)
    for i = 0, 2 do net:calm(i) end
    if not ok then error(message, 0) end
  end)

  -- Machine 2 loses what machine 0 sends it, and only that: also the last acknowledgement, after which 0 leaves.
  it("ends well where the last word of a process comes after its connections are closed", function()
    local prefixes = net:prefixes("EPACT_KEYS=" .. keys)
    prefixes[2] = net:on(2, ("EPACT_ADDRESS=%s:6002 EPACT_KEYS=%s"):format(net.address[2], keys))
    local results = jobs.run([[
      local epact = require "epact"
      epact.run({ workers = 1, timeout = 20, lease = 15 }, function(w)
        local t = w:table("t", { rows = 3, cols = 1 })
        for row = 0, 2 do t:inc(row, 0, 1) end
        w:clock()
        if w.id < 2 then return end
        w:clock()
        for row = 0, 2 do t:get(row) end -- the others have finished
        require("support.jobs").ready()
        require("support.jobs").await()
        print(t:get(0)[0] + t:get(1)[0] + t:get(2)[0])
      end)]], { processes = 3, root = ("tcp://%s:5564"):format(net.address[0]), prefix = prefixes,
      beside = ("%s; { sleep 2.5; %s; } &"):format(net:lose_command(2, net.address[0], 6002), net:heal_command(2)) })
    for rank = 0, 2 do assert.equal("", results[rank].errors) end
    assert.equal("9\n", results[2].output)
  end)

  it("goes on after a cut that is shorter than the lease", function()
    local results = cut_off(1, 15)
    for rank = 0, 2 do
      assert.equal("", results[rank].errors)
      assert.equal("120\n", results[rank].output)
    end
  end)

  it("ends on both sides of a cut that is longer", function()
    local results = cut_off(2, 1)
    for rank = 0, 1 do assert.matches("rank 2 was lost .-%[E_LOST%]", results[rank].errors) end
    assert.matches("rank %d was lost .-%[E_LOST%]", results[2].errors) -- as it finds, or is told when the cut is healed
  end)
end)
