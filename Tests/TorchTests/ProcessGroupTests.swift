import Foundation
import TestSupport
import Testing
import Torch

/// Runs a body with a port of this machine that nobody else listens to, kept in use meanwhile.
private func withPort<Result>(_ body: (Int) throws -> Result) throws -> Result {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(socket >= 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(socket, $0, length) == 0 && listen(socket, 8) == 0
                ? getsockname(socket, $0, &length) : -1
        }
    }
    try #require(status == 0)
    return try body(Int(UInt16(bigEndian: address.sin_port)))
}

/// A port that was free a moment ago, below those that the system gives to whoever asks for any: one
/// of those might be taken before the group listens.
private func freePort() throws -> Int {
    for _ in 0..<100 {
        let port = Int.random(in: 20_000..<26_000)
        if isFree(port) { return port }
    }
    throw Hangs()
}

private func isFree(_ port: Int) -> Bool {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard socket >= 0 else { return false }
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

/// What a process of a run on this machine finds in its environment.
private func environment(rank: Int, size: Int = 2, port: Int) -> [String: String] {
    [
        "WORLD_SIZE": "\(size)", "RANK": "\(rank)", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "\(port)",
    ]
}

private struct Hangs: Error {}

/// What a thread of its own gives, without keeping the tests' own threads from others; an error
/// after a minute, so that a thread that hangs fails its test and not the whole run.
private func onThread<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    let (results, end) = AsyncStream.makeStream(of: Result<Value, any Error>.self)
    Thread.detachNewThread { end.yield(Result(catching: body)) }
    DispatchQueue.global().asyncAfter(deadline: .now() + 60) { end.yield(.failure(Hangs())) }
    for await result in results { return try result.get() }
    throw Hangs()
}

/// Runs a body for each rank of a group, each on a thread of its own, and gives what they return by
/// rank. What is to be expected of it is said outside: a thread belongs to no test.
private func ranks<Value: Sendable>(
    _ size: Int = 2, timeoutSeconds: Double = 30,
    _ body: @escaping @Sendable (ProcessGroup) throws -> Value
) async throws -> [Value] {
    let port = try freePort()
    return try await withThrowingTaskGroup(of: (Int, Value).self) { tasks in
        for rank in 0..<size {
            tasks.addTask {
                try await onThread {
                    let group = try ProcessGroup.fromEnvironment(
                        environment(rank: rank, size: size, port: port),
                        timeoutSeconds: timeoutSeconds)
                    return (rank, try body(try #require(group)))
                }
            }
        }
        var values: [Int: Value] = [:]
        for try await (rank, value) in tasks { values[rank] = value }
        return values.sorted { $0.key < $1.key }.map(\.value)
    }
}

/// An error, and how long it took to come.
private struct Caught: Sendable {
    let error: TorchError?
    let seconds: Double

    init(_ body: () throws -> Void) {
        let start = ContinuousClock.now
        do {
            try body()
            error = nil
        } catch {
            self.error = error as? TorchError
        }
        seconds = (ContinuousClock.now - start) / .seconds(1)
    }

    var code: TorchError.Code? { error?.code }
    var message: String { error?.message ?? "no error" }
}

@Suite("Processes of a run", .serialized) struct ProcessGroupTests {
    @Test(
        "one process needs no group",
        arguments: [
            [:], ["WORLD_SIZE": "1"], ["WORLD_SIZE": "1", "RANK": "0"],
        ])
    func alone(environment: [String: String]) throws {
        #expect(try ProcessGroup.fromEnvironment(environment) == nil)
    }

    @Test(
        "an environment that does not describe a run is refused",
        arguments: [
            ("WORLD_SIZE", "two", "WORLD_SIZE is \"two\", expected a whole number from 1"),
            ("WORLD_SIZE", "", "WORLD_SIZE is \"\""),
            ("WORLD_SIZE", nil, "RANK is set, but WORLD_SIZE is not"),
            ("WORLD_SIZE", "0", "WORLD_SIZE is \"0\""),
            ("WORLD_SIZE", "-2", "WORLD_SIZE is \"-2\""),
            ("WORLD_SIZE", "3000000000", "WORLD_SIZE is \"3000000000\""),
            ("WORLD_SIZE", "1", "RANK is 1, but ranks end at 0 when WORLD_SIZE is 1"),
            ("RANK", "2", "RANK is 2, but ranks end at 1 when WORLD_SIZE is 2"),
            ("RANK", "-1", "RANK is \"-1\", expected a whole number from 0"),
            ("RANK", "1.0", "RANK is \"1.0\""),
            ("RANK", nil, "RANK is not set, but WORLD_SIZE is 2"),
            ("MASTER_ADDR", nil, "MASTER_ADDR is not set, but WORLD_SIZE is 2"),
            ("MASTER_ADDR", "", "MASTER_ADDR is not set, but WORLD_SIZE is 2"),
            ("MASTER_PORT", nil, "MASTER_PORT is not set, but WORLD_SIZE is 2"),
            ("MASTER_PORT", "0", "MASTER_PORT is \"0\", expected a whole number from 1"),
            ("MASTER_PORT", "65536", "MASTER_PORT is \"65536\", expected a whole number from 1"),
        ] as [(String, String?, String)])
    func contradiction(name: String, value: String?, message: String) throws {
        var variables = environment(rank: 1, port: 29500)
        variables[name] = value
        let error = #expect(throws: TorchError.self) {
            try ProcessGroup.fromEnvironment(variables)
        }
        #expect(error?.code == .environment)
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
        #expect(error?.hint?.contains("torchrun") == true)
    }

    @Test("a timeout that cannot be kept is refused", arguments: [0, -1, .nan, .infinity])
    func timeout(seconds: Double) throws {
        let error = #expect(throws: TorchError.self) {
            try ProcessGroup.fromEnvironment(
                environment(rank: 0, port: 29500), timeoutSeconds: seconds)
        }
        #expect(error?.code == .group)
    }

    @Test("tensors are summed in place over two and three processes", arguments: [2, 3])
    func sumOfTensors(size: Int) async throws {
        let results = try await ranks(size) { group in
            let own = Float(group.rank + 1)
            let matrix = try Tensor([1, 2, 3, 4, 5, 6].map { $0 * own }, shape: [2, 3])
            // Not contiguous: its sum has to be written through the strides.
            let turned = try Tensor([10, 20, 30, 40].map { $0 * own }, shape: [2, 2])
                .transposed(0, 1)
            let scalar = try Tensor.full(Double(own), shape: [])
            try group.sum([matrix, turned, scalar])
            try group.sum([] as [Tensor])
            try group.sum([try Tensor.zeros(shape: [0, 3])])
            return [[Float(group.size)], matrix.shape.map(Float.init)]
                + (try [matrix, turned, scalar].map { try $0.floats() })
        }
        let total = Float((1...size).reduce(0, +))
        #expect(results.count == size)
        for result in results {
            #expect(
                result == [
                    [Float(size)], [2, 3], [1, 2, 3, 4, 5, 6].map { $0 * total },
                    [10, 30, 20, 40].map { $0 * total }, [total],
                ])
        }
    }

    @Test("a large sum is the same bits in all processes, and the exact one but for rounding")
    func largeSum() async throws {
        @Sendable func value(_ index: Int, rank: Int) -> Float {
            Float(sin(Double(index * (rank + 3)))) * Float(1 + index % 7)
        }
        let count = 300_001
        let sums = try await ranks(3) { group in
            let own = (0..<count).map { value($0, rank: group.rank) }
            let tensor = try Tensor(own, shape: [count])
            try group.sum([tensor])
            return try tensor.floats()
        }
        #expect(sums.count == 3 && sums[0] == sums[1] && sums[0] == sums[2])
        let exact = (0..<count).map { index in
            Float((0..<3).reduce(0.0) { $0 + Double(value(index, rank: $1)) })
        }
        // Two float32 additions of numbers below 21.
        #expect(mismatch(sums[0], exact, absolute: 3e-6) == nil)
    }

    @Test("numbers are summed in double precision")
    func sumOfDoubles() async throws {
        let results = try await ranks { group in
            let sums = try group.sum(
                group.rank == 0 ? [1, 0.1, 16_777_216, -5] : [0x1p-50, 0.2, 1, 5])
            return [sums, try group.sum([] as [Double])]
        }
        let expected = [[1 + 0x1p-50, 0.1 + 0.2, 16_777_217, 0], []]
        #expect(results == [expected, expected])
    }

    @Test("gradients are summed, and the parameters left alone")
    func gradients() async throws {
        let results = try await ranks { group in
            let weight = try Tensor([1, 2, 3, 4], shape: [2, 2])
            let bias = try Tensor([5], shape: [1])
            for parameter in [weight, bias] { try parameter.requireGradient() }
            // The slopes are 2 w (rank + 1) and 10.
            let loss = try weight.squared().sum() * Double(group.rank + 1) + bias.sum() * 10
            try loss.backward()
            try group.sumGradients(of: [weight, bias])
            let gradients = try [weight, bias].map { try #require(try $0.gradient()) }
            return try ([weight, bias] + gradients).map { try $0.floats() }
        }
        let expected: [[Float]] = [[1, 2, 3, 4], [5], [6, 12, 18, 24], [20]]
        #expect(results == [expected, expected])
    }

    @Test("a parameter without gradient is refused by its index, and the group still serves")
    func missingGradient() async throws {
        let results = try await ranks { group in
            let parameters = try [1, 2].map { try Tensor([$0], shape: [1]) }
            for parameter in parameters { try parameter.requireGradient() }
            try parameters[0].sum().backward()
            return (Caught { try group.sumGradients(of: parameters) }, try group.sum([1]))
        }
        for (caught, sum) in results {
            #expect(caught.code == .operation)
            #expect(caught.message == "parameter 1 of 2 has no gradient")
            #expect(sum == [2])
        }
    }

    @Test("a broadcast gives all processes the elements of one", arguments: [0, 1])
    func broadcast(root: Int) async throws {
        let results = try await ranks { group in
            let own = Float(group.rank * 100)
            let tensors = [
                try Tensor([own + 1, own + 2], shape: [2]), try Tensor([own + 3], shape: [1, 1]),
            ]
            try tensors[0].requireGradient()
            try group.broadcast(tensors, from: root)
            try group.barrier()
            return try tensors.map { try $0.floats() }
        }
        let base = Float(root * 100)
        let expected = [[base + 1, base + 2], [base + 3]]
        #expect(results == [expected, expected])
    }

    @Test("a root that does not exist is refused", arguments: [-1, 2])
    func noRoot(root: Int) async throws {
        let results = try await ranks { group in
            let caught = Caught { try group.broadcast([try Tensor([1], shape: [1])], from: root) }
            // Who left at once could break the other's meeting.
            try group.barrier()
            return caught
        }
        for caught in results {
            #expect(caught.code == .operation)
            #expect(caught.message == "there is no rank \(root) among 2 processes")
        }
    }

    @Test("processes that give other numbers of elements are refused, and can go on")
    func otherCounts() async throws {
        let results = try await ranks { group in
            let tensor = try Tensor.full(1, shape: [group.rank == 0 ? 4 : 6])
            return (
                Caught { try group.sum([tensor]) }, try tensor.floats(), try group.sum([1])
            )
        }
        for (rank, (caught, values, sum)) in results.enumerated() {
            #expect(caught.code == .operation)
            #expect(caught.message.contains("from 4 to 6 elements, \(rank == 0 ? 4 : 6) in rank"))
            #expect(values == [Float](repeating: 1, count: rank == 0 ? 4 : 6))
            #expect(sum == [2])
        }
    }

    @Test("a process that waits for another in vain says so within the timeout", arguments: [0, 1])
    func nobodyComes(rank: Int) async throws {
        let variables = environment(rank: rank, port: try freePort())
        let caught = try await onThread {
            Caught { _ = try ProcessGroup.fromEnvironment(variables, timeoutSeconds: 2) }
        }
        #expect(caught.code == .group)
        #expect(caught.message.hasPrefix("the processes of the run did not meet at 127.0.0.1:"))
        // Only the one that keeps the list can know who is missing.
        if rank == 0 { #expect(caught.message.hasSuffix("rank 1 did not come within 2 s")) }
        #expect(caught.error?.hint?.contains("start all 2 of them") == true)
        #expect(caught.seconds < 25)
    }

    @Test("a port that another program serves is an error, not a hang", arguments: [0, 1])
    func portTaken(rank: Int) throws {
        try withPort { port in
            let caught = Caught {
                _ = try ProcessGroup.fromEnvironment(
                    environment(rank: rank, port: port), timeoutSeconds: 0.2)
            }
            #expect(caught.code == .group)
            #expect(caught.message.hasPrefix("the processes of the run did not meet at 127.0.0.1:"))
            if rank == 0 { #expect(caught.message.contains("address already in use")) }
            #expect(caught.seconds < 25)
        }
    }

    @Test("a process that leaves is noticed at once, and what was to be summed is as it was")
    func leaves() async throws {
        let results = try await ranks { group in
            let first = try group.sum([1])
            guard group.rank == 0 else { return (first, [Caught](), [Float]()) }
            let tensor = try Tensor.full(1, shape: [3])
            let caught = [
                Caught { try group.sum([tensor]) }, Caught { try group.barrier() },
                Caught { _ = try group.sum([1]) },
            ]
            return (first, caught, try tensor.floats())
        }
        #expect(results.map(\.0) == [[2], [2]])
        #expect(results[0].2 == [1, 1, 1])
        for caught in results[0].1 {
            #expect(caught.code == .group)
            #expect(caught.message.hasPrefix("another process of the run is gone or silent: "))
            #expect(!caught.message.contains("This is typically"))
            #expect(caught.error?.hint?.contains("--resume") == true)
            #expect(caught.seconds < 25)  // the timeout is 30
        }
    }

    @Test("a process that is silent is noticed at the timeout", arguments: ["sum", "barrier"])
    func silent(call: String) async throws {
        let isOver = DispatchSemaphore(value: 0)
        let results = try await ranks(timeoutSeconds: 12) { group in
            guard group.rank == 0 else {
                _ = isOver.wait(timeout: .now() + 80)
                return Caught {}
            }
            defer { isOver.signal() }
            return Caught {
                if call == "sum" { _ = try group.sum([1]) } else { try group.barrier() }
            }
        }
        #expect(results[0].code == .group)
        #expect(results[0].message.contains("Timed out waiting"))
        #expect(results[0].seconds >= 11.5 && results[0].seconds < 40)
    }
}
