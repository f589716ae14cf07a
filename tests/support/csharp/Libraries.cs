// What a generated client uses of two libraries that no package of Debian has: their declarations, so
// that everything else can be compiled. Nothing of it does anything; the client is not run with it.
using System;
using System.Threading;
using System.Threading.Tasks;
using Newtonsoft.Json;

namespace Polly
{
    public enum OutcomeType { Successful, Failure }

    public class PolicyResult<T>
    {
        public OutcomeType Outcome;
        public T Result;
        public Exception FinalException;
    }

    public interface ISyncPolicy<T>
    {
        PolicyResult<T> ExecuteAndCapture(Func<T> action);
    }

    public interface IAsyncPolicy<T>
    {
        Task<PolicyResult<T>> ExecuteAndCaptureAsync(Func<Task<T>> action);
        Task<PolicyResult<T>> ExecuteAndCaptureAsync(
            Func<CancellationToken, Task<T>> action, CancellationToken token);
    }
}

namespace JsonSubTypes
{
    public abstract class JsonSubtypes : JsonConverter
    {
        protected JsonSubtypes(string property) { }

        [AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
        public class KnownSubTypeAttribute : Attribute
        {
            public KnownSubTypeAttribute(Type type, object value) { }
        }
    }
}
