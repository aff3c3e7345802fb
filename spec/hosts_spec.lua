--- Lists of hosts, and files of them.
local hosts = require "epact.hosts"
local process = require "support.process"

local function fails(message, f, ...)
  local ok, said = pcall(f, ...)
  assert.is_false(ok)
  assert.matches(message, said, 1, true)
end

describe("a list of names", function()
  it("expands ranges, keeps leading zeros, and takes several brackets", function()
    assert.same({ "n01", "n02", "n03", "n04", "n7", "login" }, hosts.expand "n[01-04,7],login")
    assert.same({ "a1b3", "a1b4", "a2b3", "a2b4" }, hosts.expand "a[1-2]b[3-4]")
    assert.same({ "n099", "n100" }, hosts.expand "n[099-100]")
    assert.same({}, hosts.expand "")
  end)

  it("refuses what is no list", function()
    for _, list in ipairs { "n[1-", "n]1[", "n[3-1]", "n[a-b]", "n[1", "n[1-99999999]" } do
      fails("hosts: ", hosts.expand, list)
    end
  end)
end)

describe("a file of hosts", function()
  it("has a host a line, with slots as host:K or slots=K, comments and empty lines", function()
    assert.same({ "n1", "n2", "n2", "n3", "n3", "n05", "n06", "me@n7" }, hosts.parse([[
      # the first rack
      n1
      n2:2
      n3 slots=2 max_slots=4   # as mpirun has it

      n[05-06]
      me@n7]] .. "\r\n", "x"))
  end)

  it("may have ids, which are the ranks, and the port of the first", function()
    local places, port = hosts.parse("1 10.0.0.2 9998\n0 10.0.0.1 9999\n", "x")
    assert.same({ "10.0.0.1", "10.0.0.2" }, places)
    assert.equal(9999, port)
  end)

  it("says in which line what is wrong", function()
    fails('x, line 2: slots must be an integer >= 1, got "0"', hosts.parse, "n1\nn2:0", "x")
    fails('x, line 1: slots must be an integer >= 1, got "two"', hosts.parse, "n1 slots=two", "x")
    fails("x, line 1: the slots are given twice", hosts.parse, "n1:2 slots=2", "x")
    fails('x, line 1: "sluts=2" is not understood', hosts.parse, "n1 sluts=2", "x")
    fails("x, line 2: the id 0 comes twice", hosts.parse, "0 a 1\n0 b 2", "x")
    fails("x has 2 ids, but none is 1", hosts.parse, "0 a 1\n2 b 2", "x")
    fails("x has lines with an id and lines without", hosts.parse, "0 a 1\nb", "x")
    fails("x, line 1: 70000 is no port", hosts.parse, "0 a 70000", "x")
    fails('x, line 1: "-oProxyCommand" is no host\'s name', hosts.parse, "-oProxyCommand", "x")
    fails("x names no host", hosts.parse, "# none\n", "x")
  end)
end)

describe("--hosts", function()
  it("is a list, or a file where there is one", function()
    assert.same({ "n1", "n1", "n2", "n2", "x" }, hosts.read "n[1-2]:2,x")
    local name = process.temporary "a:2\n"
    assert.same({ "a", "a" }, hosts.read(name))
    os.remove(name)
    fails("cannot read " .. name, hosts.read, name)
    fails("cannot read no-such.txt", hosts.read, "no-such.txt")
    fails("cannot read spec", hosts.read, "spec")
    fails("names no host", hosts.read, "")
  end)
end)
