import CTorch

/// The processes of a run that trains one model on shares of the data, and what they exchange.
///
/// Every process of the run must make the same calls in the same order, with as many elements of
/// the same types; other sizes in other processes are refused when they first occur. Each call
/// returns when this process has its result, and the results of a sum are the same bits in all of
/// them. One thread uses a group; it is not Sendable.
///
/// **Failure.** When another process has ended, a call throws ``TorchError`` with code `.group` at
/// once; when it or its machine is silent, after the timeout. The tensors are then as before, the
/// group is of no further use, and every further call throws. The timeout is therefore also the
/// longest that one process may work between two calls while others wait.
///
/// **Cost.** A sum of n elements sends and receives less than 2n elements in each process, however
/// many there are, plus copies into and out of one buffer; the first of each n and type is preceded
/// by a small one that compares them. The exchange is libtorch's Gloo over TCP, on the CPU: tensors
/// on a GPU are copied to the CPU and back. NCCL is not used.
///
/// Neither the meeting nor the messages are authenticated or encrypted, as in PyTorch: for networks
/// that can be trusted. Where `MASTER_ADDR` is `localhost` or a loopback address, the messages stay
/// on this machine's loopback interface; elsewhere they take the interface of the host's name. The
/// variable `GLOO_SOCKET_IFNAME` names another.
public final class ProcessGroup {
    /// The number of this process, from 0.
    public let rank: Int
    /// The number of processes, at least 2.
    public let size: Int

    private let handle: OpaquePointer

    private init(owning handle: OpaquePointer, rank: Int, size: Int) {
        self.handle = handle
        self.rank = rank
        self.size = size
    }

    deinit { LTGroupFree(handle) }

    /// Meets the other processes of the run that the environment describes, as `torchrun` sets it.
    ///
    /// Costs nothing where there is one process. Otherwise returns when all have come.
    ///
    /// - Parameters:
    ///   - environment: with `WORLD_SIZE`, `RANK`, `MASTER_ADDR` and `MASTER_PORT`; where
    ///     `TORCHELASTIC_USE_AGENT_STORE` is `True`, torchrun has opened the port, otherwise the
    ///     process of rank 0 does; `TORCHELASTIC_RESTART_COUNT` keeps attempts apart
    ///   - timeoutSeconds: how long meeting may last, but for a second, and later each wait for
    ///     another process
    /// - Returns: nil when `WORLD_SIZE` is 1, or absent with `RANK`
    /// - Throws: ``TorchError`` with code `.environment` when the variables are incomplete or contradict
    ///   each other, `.group` when the others do not come in time
    public static func fromEnvironment(
        _ environment: [String: String], timeoutSeconds: Double = 30
    ) throws(TorchError) -> ProcessGroup? {
        guard environment["WORLD_SIZE"] != nil else {
            // Several that each take themselves for the only one would write one file.
            guard environment["RANK"] == nil else {
                throw TorchError(
                    .environment, "RANK is set, but WORLD_SIZE is not",
                    hint: environmentHint + " and RANK")
            }
            return nil
        }
        let size = try number("WORLD_SIZE", in: environment, range: 1...Int(Int32.max))
        guard size > 1 || environment["RANK"] != nil else { return nil }
        let rank = try number("RANK", in: environment, range: 0...Int(Int32.max))
        guard rank < size else {
            throw TorchError(
                .environment,
                "RANK is \(rank), but ranks end at \(size - 1) when WORLD_SIZE is \(size)",
                hint: environmentHint)
        }
        guard size > 1 else { return nil }
        guard let address = environment["MASTER_ADDR"], !address.isEmpty else {
            throw TorchError(
                .environment, "MASTER_ADDR is not set, but WORLD_SIZE is \(size)",
                hint: environmentHint)
        }
        let port = try number("MASTER_PORT", in: environment, range: 1...Int(UInt16.max))
        guard timeoutSeconds > 0, timeoutSeconds <= 1e9 else {
            throw TorchError(
                .group, "a timeout of \(timeoutSeconds) s cannot be kept",
                hint: "give a positive number of seconds")
        }

        let isAgentHost = environment["TORCHELASTIC_USE_AGENT_STORE"] == "True"
        let attempt = environment["TORCHELASTIC_RESTART_COUNT"] ?? "0"
        var out: OpaquePointer?
        let status = LTGroupCreate(
            Int32(rank), Int32(size), address, UInt16(port), rank == 0 && !isAgentHost,
            "latent/attempt-\(attempt)", timeoutSeconds, &out)
        guard status == 0, let out else {
            throw TorchError(
                .group, "the processes of the run did not meet at \(address):\(port): \(reason())",
                hint: "start all \(size) of them, with the same MASTER_ADDR and a free MASTER_PORT")
        }
        return ProcessGroup(owning: out, rank: rank, size: size)
    }

    /// Replaces the elements of each tensor by their sums over the processes, as one message.
    ///
    /// - Parameter tensors: of any shapes, the same in all processes; of one type, on one device
    /// - Throws: ``TorchError`` with code `.group` when another process is gone or silent,
    ///   `.operation` when types, devices or the number of elements do not fit
    public func sum(_ tensors: [Tensor]) throws(TorchError) {
        try exchange(LTGroupSum(handle, tensors.map(\.handle), tensors.count))
    }

    /// The sums of numbers over the processes, in double precision throughout.
    ///
    /// - Parameter values: as many in all processes
    /// - Returns: as many, in the same order
    /// - Throws: ``TorchError`` with code `.group` when another process is gone or silent,
    ///   `.operation` when another process gives another number of values
    public func sum(_ values: [Double]) throws(TorchError) -> [Double] {
        var sums = values
        try exchange(LTGroupSumDoubles(handle, &sums, sums.count))
        return sums
    }

    /// Replaces the gradient of each parameter by its sum over the processes, as one message.
    ///
    /// - Parameter parameters: leaves after a backward pass, the same in all processes, of one type
    ///   and on one device
    /// - Throws: ``TorchError`` with code `.group` when another process is gone or silent,
    ///   `.operation` when a parameter has no gradient (the message has its index) or when types,
    ///   devices or the number of elements do not fit
    public func sumGradients(of parameters: [Tensor]) throws(TorchError) {
        try exchange(LTGroupSumGradients(handle, parameters.map(\.handle), parameters.count))
    }

    /// Replaces the elements of each tensor by those that one process has, as one message.
    ///
    /// - Parameters:
    ///   - tensors: of any shapes, the same in all processes; of one type, on one device
    ///   - root: the rank of the process whose elements all get
    /// - Throws: ``TorchError`` with code `.group` when another process is gone or silent,
    ///   `.operation` when there is no such rank, or when types, devices or the number of elements
    ///   do not fit
    public func broadcast(_ tensors: [Tensor], from root: Int) throws(TorchError) {
        try exchange(
            LTGroupBroadcast(
                handle, tensors.map(\.handle), tensors.count, Int32(clamping: root)))
    }

    /// Waits until every process has come to this call.
    ///
    /// - Throws: ``TorchError`` with code `.group` when another process is gone or silent
    public func barrier() throws(TorchError) { try exchange(LTGroupBarrier(handle)) }

    /// Throws what an exchange failed with, naming the other processes where it was they.
    private func exchange(_ status: LTStatus) throws(TorchError) {
        guard status == LTStatus(LTStatusLost) else { return try check(status) }
        throw TorchError(
            .group, "another process of the run is gone or silent: \(Self.reason())",
            hint: "look at its messages; the same command with --resume goes on from the checkpoint"
        )
    }

    /// What libtorch says: the first line of it, without the place in libtorch's sources before
    /// and the good wishes after.
    private static func reason() -> String {
        let text = String(cString: LTLastError())
        var line = text.split(separator: "\n").first ?? "libtorch failed"
        if line.hasPrefix("[/"), let end = line.firstIndex(of: "]") {
            line = line[line.index(after: end)...].drop { $0 == " " }
        }
        line = line.split(separator: ". This is typically", maxSplits: 1).first ?? line
        return String(line.hasSuffix(".") ? line.dropLast() : line)
    }

    private static let environmentHint =
        "start with torchrun, which sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; "
        + "for one process unset WORLD_SIZE"

    private static func number(
        _ name: String, in environment: [String: String], range: ClosedRange<Int>
    ) throws(TorchError) -> Int {
        guard let text = environment[name] else {
            throw TorchError(
                .environment,
                "\(name) is not set, but WORLD_SIZE is \(environment["WORLD_SIZE"] ?? "")",
                hint: environmentHint)
        }
        guard let value = Int(text), range.contains(value) else {
            throw TorchError(
                .environment,
                "\(name) is \"\(text)\", expected a whole number from \(range.lowerBound)",
                hint: environmentHint)
        }
        return value
    }
}
